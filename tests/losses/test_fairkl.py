"""FairKL where groups are missing or degenerate, and what its variants share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from raycon.losses import fairkl
from tests.losses.catalogue import Knobs, inputs, value_and_gradients

PAPER: list[Any] = ["kl", "jeffreys", "means", "moments"]


def _knobs(variant: str, **knobs: float) -> Knobs:
    return {"variant": variant, **knobs}


@pytest.mark.parametrize("variant", PAPER)
@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_no_conflicting_pairs_is_zero_without_gradient(variant: str, floor: float) -> None:
    case = inputs("fairkl", bias_labels=(1,) * 7)
    loss, gradients = value_and_gradients("fairkl", case, _knobs(variant, variance_floor=floor))
    assert loss.item() == 0.0
    assert_close(gradients[0], torch.zeros_like(gradients[0]))


@pytest.mark.parametrize("variant", PAPER)
def test_one_part_missing_leaves_the_other(variant: Any) -> None:
    """One class: no negative pairs. Their part is 0, the positives still count."""
    case = inputs("fairkl", labels=(0,) * 7)
    assert fairkl(**case, variant=variant).item() > 1e-6


@pytest.mark.parametrize("variant", ["kl", "jeffreys", "moments"])
def test_a_single_pair_has_no_variance_to_match(variant: str) -> None:
    """One conflicting positive pair: a divergence from its zero variance would be enormous."""
    case = inputs("fairkl", views=1, labels=(0, 0, 1, 1, 1), bias_labels=(0, 1, 0, 0, 0))
    loss, gradients = value_and_gradients("fairkl", case, _knobs(variant, variance_floor=0.0))
    assert loss.isfinite() and loss < 10 and gradients[0].isfinite().all()


@pytest.mark.parametrize("variant", ["kl", "jeffreys"])
def test_the_floor_keeps_equal_distances_finite(variant: str) -> None:
    case = inputs("fairkl")
    case["features"] = torch.ones_like(case["features"]) / 2
    loss, gradients = value_and_gradients("fairkl", case, _knobs(variant))
    assert loss.item() == pytest.approx(0, abs=1e-12) and gradients[0].isfinite().all()
    loss, _ = value_and_gradients("fairkl", case, _knobs(variant, variance_floor=0.0))
    assert not loss.isfinite()


def test_a_small_floor_hardly_changes_the_divergence() -> None:
    case = inputs("fairkl")
    assert fairkl(**case).item() == pytest.approx(fairkl(**case, variance_floor=0.0).item(), rel=1e-2)


def test_jeffreys_is_symmetric_in_the_groups_and_above_kl() -> None:
    case = inputs("fairkl")
    assert fairkl(**case, variant="jeffreys") > fairkl(**case, variant="kl") > 0


def test_views_of_one_image_are_not_a_pair() -> None:
    """With all views of an image equal, the pairs' distances have the same means as with one view."""
    case = inputs("fairkl", views=1)
    doubled = {**case, "features": case["features"].repeat(1, 2, 1)}
    for variant in ("means", "moments"):
        assert_close(fairkl(**doubled, variant=variant), fairkl(**case, variant=variant), rtol=0.05, atol=0)
    assert_close(fairkl(**doubled, variant="means"), fairkl(**case, variant="means"))


def test_moments_without_spread_matches_means_of_distances() -> None:
    """Squared distances of unit rows are 2 - 2 similarity, so squared gaps of their means are 4 times as large."""
    case = inputs("fairkl")
    assert_close(4 * fairkl(**case, variant="moments", spread_weight=0.0), fairkl(**case, variant="means"))


def test_minimising_moments_makes_the_groups_alike() -> None:
    case = inputs("fairkl", labels=(0, 1) * 8, bias_labels=(0, 0, 1, 1) * 4)
    raw = torch.nn.Parameter(case["features"])
    optimiser = torch.optim.Adam([raw], lr=0.05)
    history = []
    for _ in range(60):
        features = torch.nn.functional.normalize(raw, dim=-1)
        loss = fairkl(features, case["labels"], case["bias_labels"], variant="moments")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.01 * history[0]
