"""What the formulas of the class- and group-wise terms, and of the metric-learning baselines, imply."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from raycon.losses import (
    MEASURES,
    balanced_contrastive,
    cross_entropy,
    esupcon,
    group_dro,
    logit_adjusted_cross_entropy,
    margin,
    n_pair,
    supcon,
    tightness,
    triplet,
)
from raycon.losses.group_dro import group_dro_step, group_losses, size_adjustments, update_group_weights
from raycon.losses.logit_adjusted_cross_entropy import adjusted_cross_entropy
from raycon.losses.tightness import spce
from tests.losses.catalogue import inputs

FEATURES, LABELS, PROTOTYPES = inputs("esupcon").values()
LOGITS, _, GROUPS, _ = inputs("group_dro").values()


def test_balanced_contrast_without_both_of_its_parts_is_supcon() -> None:
    plain = balanced_contrastive(FEATURES, LABELS, PROTOTYPES, class_averaging=False, class_complement=False)
    assert_close(plain, supcon(FEATURES, LABELS))


def test_balanced_contrast_without_averaging_is_esupcon_without_the_prototypes_own_part() -> None:
    balanced = balanced_contrastive(FEATURES, LABELS, PROTOTYPES, class_averaging=False)
    assert_close(balanced, esupcon(FEATURES, LABELS, PROTOTYPES, prototype_weight=0.0))


@pytest.mark.parametrize("labels", [(0, 0, 1), (0, 0, 0, 0, 1), (2, 0, 2, 1, 1, 1)])
def test_every_class_counts_once_whatever_its_size(labels: tuple[int, ...]) -> None:
    alike, prototypes = torch.ones(len(labels), 1, 1).double(), torch.ones(4, 1).double()
    balanced = balanced_contrastive(alike, torch.tensor(labels), prototypes)
    assert balanced.item() == pytest.approx(math.log(4))
    counted = balanced_contrastive(alike, torch.tensor(labels), prototypes, class_averaging=False)
    assert counted.item() == pytest.approx(math.log(len(labels) - 1 + 4))


def test_the_prototype_of_an_absent_class_is_still_pushed_away() -> None:
    prototypes = PROTOTYPES.clone().requires_grad_()
    labels = LABELS.clamp(max=2)
    balanced_contrastive(FEATURES, labels, prototypes).backward()  # type: ignore[no-untyped-call]
    assert prototypes.grad is not None and prototypes.grad[3].abs().max() > 0


def test_a_share_of_the_prototype_of_one_leaves_the_other_positives_out() -> None:
    alone = esupcon(FEATURES, LABELS, PROTOTYPES, prototype_share=1.0)
    rows, flat = FEATURES.transpose(0, 1).flatten(0, 1), LABELS.repeat(2)
    candidates = torch.cat([rows @ rows.T, rows @ PROTOTYPES.T], dim=1) / 0.1
    candidates[:, : len(rows)].fill_diagonal_(-math.inf)
    expected = functional.cross_entropy(candidates, len(rows) + flat)
    own_part = esupcon(FEATURES, LABELS, PROTOTYPES) - esupcon(FEATURES, LABELS, PROTOTYPES, prototype_weight=0.0)
    assert_close(alone - own_part, expected)


def test_tightness_is_spce_and_a_cross_entropy_of_the_prototypes() -> None:
    assert_close(tightness(FEATURES, LABELS, PROTOTYPES, prototype_weight=0.0), spce(FEATURES, LABELS, temperature=0.1))
    joint = tightness(FEATURES, LABELS, PROTOTYPES) - spce(FEATURES, LABELS, temperature=0.1)
    assert_close(joint, cross_entropy(FEATURES @ PROTOTYPES.T / 0.1, LABELS))


def test_no_strength_is_plain_cross_entropy_whatever_the_shares() -> None:
    shares = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert_close(logit_adjusted_cross_entropy(LOGITS, LABELS, shares, strength=0.0), cross_entropy(LOGITS, LABELS))


def test_a_class_without_training_images_takes_no_part() -> None:
    logits = LOGITS.clone().requires_grad_()
    shares = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    loss = logit_adjusted_cross_entropy(logits, LABELS, shares)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and gradient.isfinite().all() and gradient[..., 3].abs().max() == 0
    assert_close(loss, logit_adjusted_cross_entropy(LOGITS[..., :3], LABELS, shares[:3]))


def test_counts_serve_as_shares_and_weights_are_those_of_torch() -> None:
    rows, counts = LOGITS[:, 0], torch.tensor([500, 50, 20, 5])
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    expected = functional.cross_entropy(rows + 0.5 * (counts / counts.sum()).double().log(), LABELS, weight=weight)
    assert_close(adjusted_cross_entropy(rows, LABELS, counts, strength=0.5, weight=weight), expected, rtol=1e-6, atol=0)


def test_n_pair_is_supcon_with_one_positive_in_the_denominator() -> None:
    assert_close(n_pair(FEATURES, LABELS), supcon(FEATURES, LABELS, denominator="one_positive"))


def test_violated_triplets_are_some_of_all() -> None:
    all_of_them, violated = (triplet(FEATURES, LABELS, mining=mining) for mining in ("all", "violated"))
    assert 0 < all_of_them < violated
    assert_close(
        triplet(FEATURES, LABELS, mining="all", margin=5.0), triplet(FEATURES, LABELS, mining="violated", margin=5.0)
    )


def test_well_separated_classes_satisfy_triplet_and_margin() -> None:
    rows = torch.eye(4)[LABELS.clamp(max=3)][:, None].requires_grad_()
    for loss in (triplet(rows, LABELS), triplet(rows, LABELS, mining="violated"), margin(rows, LABELS)):
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, rows)
        assert gradient.abs().max() == 0


def test_one_group_is_cross_entropy_and_images_of_other_groups_do_not_enter() -> None:
    one = torch.zeros_like(LABELS)
    assert_close(group_dro(LOGITS, LABELS, one, torch.ones(1).double()), cross_entropy(LOGITS, LABELS))
    first = group_dro(LOGITS, LABELS, GROUPS, torch.tensor([1.0, 0.0]).double())
    assert_close(first, cross_entropy(LOGITS[GROUPS == 0], LABELS[GROUPS == 0]))


def test_the_group_with_the_larger_loss_gains_weight_and_sums_stay_one() -> None:
    log_weights = torch.zeros(3).log_softmax(0)
    for _ in range(200):
        log_weights = update_group_weights(log_weights, torch.tensor([0.1, 2.0, 0.5]), step_size=1.0)
    assert log_weights.isfinite().all()
    assert_close(log_weights.exp(), torch.tensor([0.0, 1.0, 0.0]))


def test_small_groups_are_raised_even_where_the_batch_lacks_them() -> None:
    counts = torch.tensor([100.0, 4.0, 0.0])
    assert_close(size_adjustments(counts, 2.0), torch.tensor([0.2, 1.0, 0.0]))
    rows, labels, groups = LOGITS[:, 0], LABELS, torch.zeros_like(LABELS)
    loss, log_weights = group_dro_step(
        rows, labels, groups, torch.zeros(3).double(), counts, step_size=1.0, size_adjustment=2.0
    )
    expected = (
        torch.tensor([functional.cross_entropy(rows, labels).item(), 0.0, 0.0]) + size_adjustments(counts, 2.0)
    ).double()
    assert_close(log_weights.exp(), expected.softmax(0), rtol=1e-6, atol=0)
    assert_close(loss, (expected.softmax(0) * expected).sum(), rtol=1e-6, atol=0)


def test_what_is_logged_beside_group_dro() -> None:
    weights = torch.tensor([0.3, 0.7]).double()
    found = {name: measure(LOGITS, LABELS, GROUPS, weights).item() for name, measure in MEASURES["group_dro"].items()}
    losses = group_losses(LOGITS.flatten(0, 1), LABELS.repeat_interleave(2), GROUPS.repeat_interleave(2), 2)
    assert found == pytest.approx({"largest_weight": 0.7, "worst_loss": losses.max().item()})
