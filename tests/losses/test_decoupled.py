"""The decoupled losses: what they are without their positive, and where the gradient of the weights goes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from raycon.losses import decoupled, decoupled_weighted, supcon
from tests.losses.catalogue import inputs

FEATURES = inputs("decoupled")["features"]
THREE_VIEWS = inputs("decoupled", views=3)["features"]


@pytest.mark.parametrize("rows", [FEATURES, THREE_VIEWS])
@pytest.mark.parametrize("contrast", ["all", "first_view"])
def test_it_is_supcon_of_single_images_without_positives_below(rows: Tensor, contrast: Any) -> None:
    distinct = torch.arange(len(rows))
    plain = supcon(rows, distinct, denominator="negatives", contrast=contrast)
    assert_close(decoupled(rows, contrast=contrast), plain)


@pytest.mark.parametrize("term", [decoupled, decoupled_weighted])
def test_the_sum_over_views_is_the_mean_times_their_number(term: Any) -> None:
    assert_close(term(THREE_VIEWS, over_views="sum"), 3 * term(THREE_VIEWS))
    one_way = term(FEATURES, contrast="first_view", over_views="sum")
    assert_close(one_way, term(FEATURES, contrast="first_view"))
    assert_close(one_way + term(FEATURES.flip(1), contrast="first_view"), term(FEATURES, over_views="sum"))


def test_wide_weights_are_all_one() -> None:
    assert_close(decoupled_weighted(THREE_VIEWS, sigma=1e9), decoupled(THREE_VIEWS))


def test_sharp_weights_take_the_pull_from_the_pair_that_agrees_most() -> None:
    """At a tiny sigma the closest pair has weight 2 - N, all others 2."""
    similar = (FEATURES[:, 0] * FEATURES[:, 1]).sum(dim=1)
    pull = decoupled(FEATURES, temperature=1.0) - decoupled_weighted(FEATURES, temperature=1.0, sigma=1e-4)
    expected = (similar.sum() - len(similar) * similar.max()) / len(similar)
    assert_close(pull, expected)


def test_the_gradient_may_flow_through_the_weights_or_not() -> None:
    def gradient(**knobs: Any) -> tuple[Tensor, Tensor]:
        free = FEATURES.clone().requires_grad_()
        loss = decoupled_weighted(free, **knobs)
        return loss.detach(), torch.autograd.grad(loss, free)[0]

    flowing, stopped = gradient(weight_gradient="flow"), gradient(weight_gradient="detach")
    assert_close(flowing[0], stopped[0])
    assert not torch.allclose(flowing[1], stopped[1])

    with torch.no_grad():
        similar = (FEATURES[:, 0] * FEATURES[:, 1]).sum(dim=1)
        weights = 2 - len(similar) * (similar / 0.5).softmax(dim=0)
        assert weights.mean().item() == pytest.approx(1)
    free = FEATURES.clone().requires_grad_()
    pull = (1 - weights) * (free[:, 0] * free[:, 1]).sum(dim=1) / 0.1
    by_hand = torch.autograd.grad(decoupled(free) + pull.mean(), free)[0]
    assert_close(stopped[1], by_hand)


def test_self_pairs_never_leak_into_the_denominator() -> None:
    """At temperature 0.007 a mask that adds a log of a tiny number lets the self pair in; a boolean one does not."""
    rows = torch.eye(6, dtype=torch.float64).reshape(3, 2, 6)
    assert decoupled(rows, temperature=0.007).item() == pytest.approx(math.log(4))


def test_identical_rows_have_the_documented_value() -> None:
    rows = torch.ones(6, 3, 1, dtype=torch.float64)
    assert decoupled(rows).item() == pytest.approx(math.log(15))
    assert decoupled_weighted(rows).item() == pytest.approx(math.log(15))
    alone = torch.ones(1, 2, 1, requires_grad=True)
    loss = decoupled_weighted(alone)
    assert loss.item() == 0.0 and torch.autograd.grad(loss, alone)[0].abs().max() == 0


def test_sigma_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="sigma"):
        decoupled_weighted(FEATURES, sigma=0.0)
