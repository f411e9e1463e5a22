"""Equalities between terms that the formulas imply."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from raycon.losses import (
    class_conditional_infonce,
    cross_entropy,
    epsilon_infonce,
    epsilon_supcon,
    epsilon_supinfonce,
    infonce,
    spread,
    spread_reference,
    supcon,
    supcon_google,
    supcon_of_pairs,
)
from tests.losses.catalogue import inputs

FEATURES = inputs("supcon")["features"]
LABELS = inputs("supcon")["labels"]
DISTINCT = torch.arange(len(LABELS))


@pytest.mark.parametrize("contrast", ["all", "first_view", "cross_view", "cross_view_one_way"])
def test_distinct_labels_turn_supcon_into_infonce(contrast: Any) -> None:
    assert_close(supcon(FEATURES, DISTINCT, contrast=contrast), infonce(FEATURES, contrast=contrast))


def test_distinct_labels_turn_epsilon_supinfonce_into_epsilon_infonce() -> None:
    assert_close(epsilon_supinfonce(FEATURES, DISTINCT), epsilon_infonce(FEATURES))


def test_epsilon_zero_is_the_plain_form() -> None:
    assert_close(epsilon_infonce(FEATURES, epsilon=0.0), infonce(FEATURES))
    assert_close(epsilon_supcon(FEATURES, LABELS, epsilon=0.0), supcon(FEATURES, LABELS))
    plain = supcon(FEATURES, LABELS, denominator="one_positive")
    assert_close(epsilon_supinfonce(FEATURES, LABELS, epsilon=0.0), plain)


def test_infinite_epsilon_leaves_the_positive_out() -> None:
    decoupled = supcon(FEATURES, LABELS, denominator="negatives")
    assert_close(epsilon_supinfonce(FEATURES, LABELS, epsilon=1000.0), decoupled)


def test_margin_lowers_the_loss() -> None:
    losses = [epsilon_supinfonce(FEATURES, LABELS, epsilon=epsilon).item() for epsilon in (0.0, 0.25, 1.0)]
    assert losses == sorted(losses, reverse=True) and losses[0] - losses[2] > 0.01


def test_in_form_is_never_above_the_out_form() -> None:
    assert supcon(FEATURES, LABELS, form="in") < supcon(FEATURES, LABELS, form="out")


def test_the_two_forms_agree_for_one_positive() -> None:
    pairs = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    alone = FEATURES[:, :1]
    assert_close(supcon(alone, pairs, form="in"), supcon(alone, pairs, form="out"))


@pytest.mark.parametrize("symmetric", [True, False])
def test_perfectly_balanced_is_a_weighted_sum_of_two_terms(symmetric: bool) -> None:
    alpha, temperature = 0.3, 0.2
    supervised = supcon(
        FEATURES,
        LABELS,
        temperature=temperature,
        denominator="one_positive",
        contrast="cross_view" if symmetric else "cross_view_one_way",
    )
    conditional = class_conditional_infonce(FEATURES, LABELS, temperature=temperature, symmetric=symmetric)
    whole = spread(FEATURES, LABELS, alpha=alpha, temperature=temperature, symmetric=symmetric)
    assert_close((1 - alpha) * supervised + alpha * conditional, whole)


def test_spread_does_not_depend_on_the_length_of_its_rows() -> None:
    lengths = torch.linspace(0.1, 9.0, FEATURES[..., 0].numel(), dtype=torch.float64).reshape(-1, 2, 1)
    assert_close(spread(FEATURES * lengths, LABELS), spread(FEATURES, LABELS))


def test_authors_code_without_its_clip_is_the_one_way_spread() -> None:
    reference = spread_reference(
        FEATURES, LABELS, temperature=0.1, supervised_weight=0.7, spread_weight=0.3, positive_clip=0.95
    )
    assert_close(reference, spread(FEATURES, LABELS, alpha=0.3, symmetric=False))


def test_authors_clip_takes_the_pull_from_close_positives() -> None:
    """At temperature 0.1 a positive of cosine above 0.1 is clipped: its numerator has no gradient."""
    close = torch.ones(2, 2, 1, dtype=torch.float64).requires_grad_()
    one_class = torch.tensor([0, 0])
    loss = spread_reference(close, one_class, kind="supcon", temperature=0.1, column_norms=False)
    (gradient,) = torch.autograd.grad(loss, close)
    assert (gradient > 0).all()  # it repels its positives, and has no negatives
    (gradient,) = torch.autograd.grad(
        spread_reference(close, one_class, kind="supcon", temperature=0.1, column_norms=False, positive_clip=0.95),
        close,
    )
    assert_close(gradient, torch.zeros_like(gradient))


def test_authors_weights_must_not_both_be_zero() -> None:
    with pytest.raises(ValueError, match="both 0"):
        spread_reference(FEATURES, LABELS, supervised_weight=0.0, spread_weight=0.0)


def test_google_code_is_supcon_times_temperature() -> None:
    scaled = supcon_google(FEATURES, LABELS, temperature=0.2)
    assert_close(scaled, supcon(FEATURES, LABELS, temperature=0.2, base_temperature=1.0))
    assert_close(supcon_google(FEATURES, None, scale_by_temperature=False), infonce(FEATURES))


def test_google_cap_of_zero_leaves_an_image_its_own_views() -> None:
    capped = supcon_google(FEATURES, DISTINCT, positives_cap=0)
    assert_close(capped, supcon_google(FEATURES, DISTINCT))
    assert not torch.isclose(supcon_google(FEATURES, LABELS, positives_cap=0), supcon_google(FEATURES, LABELS))
    with pytest.raises(ValueError, match="positives_cap"):
        supcon_google(FEATURES, LABELS, positives_cap=-1)


def test_base_temperature_rescales() -> None:
    rescaled = supcon(FEATURES, LABELS, temperature=0.1, base_temperature=0.07)
    assert_close(rescaled, supcon(FEATURES, LABELS, temperature=0.1) / 0.7)


def test_given_pairs_need_not_be_symmetric() -> None:
    """Image 0 is drawn to image 1, which is drawn to none: only anchor 0 has a positive."""
    pairs = torch.tensor([[False, True, False], [False, False, False], [False, False, False]])
    rows = torch.eye(3, dtype=torch.float64).reshape(3, 1, 3)
    assert supcon_of_pairs(rows, pairs).item() == pytest.approx(math.log(2) / 3)


def test_identical_rows_have_the_documented_values() -> None:
    rows = torch.ones(6, 2, 1, dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    assert supcon(rows, labels).item() == pytest.approx(math.log(11))
    assert supcon_google(rows, labels).item() == pytest.approx(0.1 * math.log(11))
    assert infonce(rows).item() == pytest.approx(math.log(11))
    assert class_conditional_infonce(rows, labels).item() == pytest.approx(math.log(3))
    assert spread(rows, labels).item() == pytest.approx((math.log(4) + math.log(3)) / 2)
    assert epsilon_supinfonce(rows, labels, epsilon=0.0).item() == pytest.approx(math.log(7))
    assert epsilon_infonce(rows, epsilon=0.0).item() == pytest.approx(math.log(11))
    assert epsilon_supcon(rows, labels, epsilon=0.0).item() == pytest.approx(math.log(11))
    assert cross_entropy(torch.zeros(3, 2, 5), torch.tensor([0, 1, 4])).item() == pytest.approx(math.log(5))


def test_an_anchor_without_positives_stays_in_the_mean() -> None:
    rows = torch.eye(3, dtype=torch.float64).reshape(3, 1, 3)
    assert supcon(rows, torch.tensor([0, 0, 1])).item() == pytest.approx(2 / 3 * math.log(2))


def test_smoothing_mixes_in_the_uniform_target() -> None:
    case = inputs("cross_entropy")
    plain, smooth = cross_entropy(**case), cross_entropy(**case, label_smoothing=1.0)
    assert_close(cross_entropy(**case, label_smoothing=0.25), 0.75 * plain + 0.25 * smooth)
