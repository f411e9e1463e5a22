"""The whole objective of Siamese prototypical learning is its parts, and its mask and count are what they say."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from raycon.losses import (
    false_negatives,
    infonce,
    prototype_classification,
    prototype_infonce,
    siamese_metric_loss,
    siamese_prototypical,
)
from tests.losses.catalogue import inputs


def _logits() -> dict[str, torch.Tensor]:
    return inputs("prototype_classification")


@pytest.mark.parametrize("mask", [False, True])
def test_without_shared_prototypes_it_is_infonce(mask: bool) -> None:
    features = inputs("infonce", views=3)["features"]
    found = prototype_infonce(features, torch.arange(7), temperature=0.1, mask_same_prototype=mask)
    torch.testing.assert_close(found, infonce(features, temperature=0.1))


def test_the_mask_leaves_out_what_is_counted() -> None:
    case = inputs("prototype_infonce")
    features, prototypes = case["features"], torch.tensor([0, 0, 1, 2, 2, 2, 3])
    assert false_negatives(features, prototypes).item() == pytest.approx((2 + 6) / 42)
    assert prototype_infonce(features, prototypes) == infonce(features, temperature=0.5)
    assert prototype_infonce(features, prototypes, mask_same_prototype=True) < infonce(features, temperature=0.5)
    alone = prototype_infonce(features, torch.zeros(7, dtype=torch.int64), mask_same_prototype=True)
    assert alone.item() == pytest.approx(0.0, abs=1e-12)
    assert false_negatives(features[:1], prototypes[:1]).item() == 0


def test_the_metric_wants_views_of_one_image_alike_and_partners_by_their_prototype() -> None:
    logits = torch.zeros(2, 6, dtype=torch.float64)
    logits[:, :2], logits[0, 2:], logits[1, 2:] = 50.0, 50.0, -50.0
    assert siamese_metric_loss(logits, torch.tensor([1, 0])).item() == pytest.approx(0.0, abs=1e-12)
    assert siamese_metric_loss(logits, torch.tensor([0, 1])).item() == pytest.approx(4 * 50.0)
    ones = torch.ones(3, 1, dtype=torch.float64)
    assert siamese_metric_loss(3 * ones, torch.tensor([1, 1, 0]), kind="l1").item() == pytest.approx(7 / 3)
    assert siamese_metric_loss(torch.ones(2, 15), torch.tensor([1, 0]), kind="l2").item() == pytest.approx(4.5)


def test_a_number_of_pairs_that_no_views_make_is_refused() -> None:
    with pytest.raises(ValueError, match="must be of V"):
        siamese_metric_loss(torch.zeros(3, 5), torch.tensor([0, 1, 0]))


def test_symmetric_classification_forgives_a_wrong_prototype() -> None:
    logits = torch.zeros(1, 1, 3, dtype=torch.float64)
    logits[..., 0] = 100.0
    wrong, right = torch.tensor([1]), torch.tensor([0])
    plain = prototype_classification(logits, wrong, logits, right)
    kept = prototype_classification(logits, wrong, logits, right, kind="symmetric")
    assert plain.item() == pytest.approx(100.0)
    # 0.1 of the cross entropy, and the whole probability on a target of 1e-4; clamping costs 1e-7 here and there.
    assert kept.item() == pytest.approx(10.0 - math.log(1e-4), abs=1e-4)


def test_the_whole_is_the_weighted_sum_of_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    features, partner = torch.randn(2, 7, 2, 4, generator=generator)
    pairs, same = torch.randn(7, 6, generator=generator), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    found = siamese_prototypical(
        features,
        partner,
        pairs,
        same,
        **{name: t.float() if t.is_floating_point() else t for name, t in _logits().items()},
        temperature=0.2,
        contrast_weight=0.3,
        metric_weight=0.5,
        prototype_weight=0.7,
        metric_kind="l2",
        prototype_kind="symmetric",
    )
    unit = [functional.normalize(rows, dim=2) for rows in (features, partner)]
    contrast = infonce(unit[0], temperature=0.2) + infonce(unit[1], temperature=0.2)
    torch.testing.assert_close(found.contrast, contrast)
    torch.testing.assert_close(found.metric, siamese_metric_loss(pairs, same, kind="l2"))
    torch.testing.assert_close(found.total, 0.3 * found.contrast + 0.5 * found.metric + 0.7 * found.prototype)
