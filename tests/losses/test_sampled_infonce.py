"""InfoNCE with drawn negatives: what the draws decide, and what becomes of it when all negatives are the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from raycon.losses import collision_rate, collision_rate_of_indices, infonce_of_indices, sampled_infonce
from tests.losses.catalogue import inputs

CASE = inputs("sampled_infonce")
BALANCED = torch.arange(40) % 4


def _case(images: int = 40) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    return {
        "features": torch.randn(images, 2, 6, generator=generator).double(),
        "labels": BALANCED[:images],
        "draws": torch.rand(images, 32, generator=generator),
    }


def test_more_draws_of_the_same_image_only_add_up() -> None:
    """Two images: every negative is the other one, so that k of them weigh k times one."""
    pair = {key: tensor[:2] for key, tensor in CASE.items()}
    first, second = torch.nn.functional.normalize(pair["features"], dim=-1)
    for count in (1, 7):
        loss = sampled_infonce(**pair, negatives=count, positives="augmentation", temperature=0.5)
        losses = []
        for own, other in ((first, second), (second, first)):
            for view in (0, 1):
                attracted, repelled = own[view] @ own[1 - view] / 0.5, own[view] @ other[1 - view] / 0.5
                losses.append(torch.logaddexp(attracted, repelled + math.log(count)) - attracted)
        assert_close(loss, torch.stack(losses).mean())


def test_collisions_happen_as_often_as_classes_meet() -> None:
    case = _case()
    rate = collision_rate(**case, negatives=2000)
    assert rate.item() == pytest.approx(9 / 39, abs=0.005)
    assert collision_rate(**case, negatives=50, sampling="other_classes").item() == 0.0
    one_class = {**case, "labels": torch.zeros_like(case["labels"])}
    assert collision_rate(**one_class).item() == 1.0
    assert collision_rate(**one_class, sampling="other_classes").item() == 0.0


def test_negatives_of_other_classes_do_not_look_at_the_own_class() -> None:
    case = _case()
    moved = case["features"].clone()
    moved[case["labels"] == 0] = moved[case["labels"] == 0].roll(1, 0)
    knobs: dict[str, Any] = {"positives": "same_class", "sampling": "other_classes"}
    free = case["features"].clone().requires_grad_()
    loss = sampled_infonce(free, case["labels"], case["draws"], negatives=1, **knobs)
    assert loss.isfinite()
    # Classes apart and each collapsed: no collision, so the loss is that of k equal negatives.
    apart = torch.nn.functional.one_hot(case["labels"], 4).double()[:, None]
    collapsed = sampled_infonce(apart, case["labels"], case["draws"], negatives=5, temperature=1.0, **knobs)
    assert collapsed.item() == pytest.approx(math.log(1 + 5 / math.e))


def test_the_draws_alone_decide() -> None:
    case = _case()
    assert_close(sampled_infonce(**case), sampled_infonce(**case))
    other = {**case, "draws": case["draws"].flip(0)}
    assert not torch.isclose(sampled_infonce(**other), sampled_infonce(**case))
    with_more = torch.cat([case["draws"][:, :3], torch.zeros(40, 29)], dim=1)
    assert_close(sampled_infonce(case["features"], case["labels"], with_more), sampled_infonce(**case))


def test_labels_are_not_used_where_no_label_is_asked_for() -> None:
    case = _case()
    blind = {**case, "labels": torch.zeros_like(case["labels"])}
    knobs: dict[str, Any] = {"positives": "augmentation", "sampling": "marginal"}
    assert_close(sampled_infonce(**case, **knobs), sampled_infonce(**blind, **knobs))


def test_the_length_of_rows_does_not_matter() -> None:
    case = _case()
    longer = {**case, "features": case["features"] * torch.linspace(0.1, 9, 40).double()[:, None, None]}
    assert_close(sampled_infonce(**longer), sampled_infonce(**case))


def test_identical_rows_have_the_documented_values() -> None:
    rows = {**_case(), "features": torch.ones(40, 2, 3).double()}
    assert sampled_infonce(**rows, negatives=8).item() == pytest.approx(math.log(9))
    assert sampled_infonce(**rows, negatives=8, denominator="decoupled").item() == pytest.approx(math.log(8))


def test_an_anchor_without_a_positive_stays_in_the_mean() -> None:
    rows = torch.ones(3, 1, 2).double()
    loss = sampled_infonce(rows, torch.tensor([0, 0, 1]), torch.rand(3, 32), negatives=4)
    assert loss.item() == pytest.approx(2 / 3 * math.log(5))


def test_given_indices() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], dtype=torch.float64)
    anchor, own = torch.tensor([0, 1]), torch.tensor([1, 0])
    repelling = torch.tensor([[2, 2], [1, 2]])
    loss = infonce_of_indices(rows, anchor, own, repelling, temperature=1.0)
    by_hand = math.log(1 + 2 / math.e), math.log(1 + math.e + 1)
    assert loss.item() == pytest.approx(sum(by_hand) / 2)
    bare = infonce_of_indices(rows, anchor, own, repelling, temperature=1.0, denominator="decoupled")
    assert bare.item() == pytest.approx((math.log(2 / math.e) + math.log(math.e + 1)) / 2)
    assert collision_rate_of_indices(torch.tensor([5, 6, 5]), anchor, repelling).item() == pytest.approx(3 / 4)


def test_what_cannot_be_drawn_is_refused() -> None:
    case = _case()
    with pytest.raises(ValueError, match="negatives must be at least 1"):
        sampled_infonce(**case, negatives=0)
    with pytest.raises(ValueError, match="at least 2"):
        sampled_infonce(case["features"][:, :1], case["labels"], case["draws"], positives="augmentation")
    index = torch.tensor([0, 1])
    for given in ((index, index[:1], index[:, None]), (index, index, index), (index, index, index[:, None][:, :0])):
        with pytest.raises(ValueError, match="must be"):
            infonce_of_indices(torch.ones(3, 2), *given)
