"""The debiased loss: its limits, its clamp, and what stays finite where exponentials do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from raycon.losses import (
    clamped_count,
    clamped_share,
    clamped_share_supervised,
    debiased,
    debiased_of_samples,
    debiased_supervised,
    epsilon_infonce,
    infonce,
)
from raycon.losses.similarity import unit_rows
from tests.losses.catalogue import inputs

FEATURES = inputs("debiased")["features"]
THREE_VIEWS = inputs("debiased", views=3)["features"]
ALIKE = unit_rows(FEATURES[:, :1] + 0.5 * FEATURES)  # the views of an image agree, as trained ones do
LABELS = inputs("supcon")["labels"]


def test_prior_zero_is_infonce() -> None:
    for temperature in (0.01, 0.1, 0.5):
        plain = infonce(FEATURES, temperature=temperature)
        assert_close(debiased(FEATURES, temperature=temperature, class_prior=0.0), plain)
    one_positive = epsilon_infonce(THREE_VIEWS, epsilon=0.0)
    assert_close(debiased(THREE_VIEWS, temperature=0.1, class_prior=0.0), one_positive)


def test_distinct_labels_leave_the_own_views_as_samples() -> None:
    distinct = torch.arange(len(LABELS))
    assert_close(debiased_supervised(THREE_VIEWS, distinct), debiased(THREE_VIEWS))
    assert not torch.isclose(debiased_supervised(FEATURES, LABELS), debiased(FEATURES))


def test_the_correction_lowers_the_denominator() -> None:
    losses = [debiased(ALIKE, class_prior=prior).item() for prior in (0.0, 0.01, 0.02)]
    assert losses == sorted(losses, reverse=True) and losses[0] - losses[2] > 1e-3


def test_a_clamped_anchor_has_the_least_denominator_and_does_not_repel() -> None:
    """Views that agree, at a prior that takes more than there is: e^{-1 / t} a negative, and no gradient by them."""
    images = FEATURES[:, :1].clone().requires_grad_()
    rows = torch.cat([images, images.detach()], dim=1)
    share = clamped_share(rows, temperature=0.2, class_prior=0.3)
    assert share.item() == 1.0
    loss = debiased(rows, temperature=0.2, class_prior=0.3)
    assert loss.item() == pytest.approx(math.log(1 + 12 * math.exp(-10)), rel=1e-9)
    (gradient,) = torch.autograd.grad(loss, images)
    along = torch.nn.functional.normalize(gradient[:, 0], dim=1)
    assert_close(along, -images.detach()[:, 0])  # towards its other view alone


def test_count_and_share_agree_with_anchors_counted_by_hand() -> None:
    rows = ALIKE.transpose(0, 1).flatten(0, 1).tolist()
    counted = 0
    for a, anchor in enumerate(rows):
        values = [math.exp(sum(x * y for x, y in zip(anchor, row, strict=True)) / 0.5) for row in rows]
        images = [r % len(ALIKE) for r in range(len(rows))]
        own = [v for r, v in enumerate(values) if images[r] == images[a] and r != a]
        rest = [v for r, v in enumerate(values) if images[r] != images[a]]
        counted += (sum(rest) / len(rest) - 0.2 * sum(own) / len(own)) / 0.7 < math.exp(-2)
    assert 0 < counted < len(rows)
    assert clamped_count(ALIKE, temperature=0.5, class_prior=0.2).item() == counted
    share = clamped_share(ALIKE, temperature=0.5, class_prior=0.2)
    assert share.item() == pytest.approx(counted / len(rows))


def test_a_whole_class_as_samples_is_clamped_less() -> None:
    knobs = {"temperature": 0.5, "class_prior": 0.3}
    same = FEATURES[:1].expand_as(FEATURES)
    assert clamped_share_supervised(same, LABELS, **knobs).item() == 0.0
    agreeing = FEATURES[:, :1].expand_as(FEATURES)
    assert clamped_share_supervised(agreeing, LABELS, **knobs) < clamped_share(agreeing, **knobs)


@pytest.mark.parametrize("class_prior", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("case", ["random", "alike", "agreeing"])
def test_no_overflow_in_float32_at_temperature_0_005(class_prior: float, case: str) -> None:
    rows = FEATURES.float()
    rows = {"random": rows, "alike": rows[:1, :1].expand_as(rows), "agreeing": rows[:, :1].expand_as(rows)}[case]
    rows = rows.clone().requires_grad_()
    loss = debiased(rows, temperature=0.005, class_prior=class_prior)
    (gradient,) = torch.autograd.grad(loss, rows)
    double = debiased(rows.detach().double(), temperature=0.005, class_prior=class_prior)
    assert gradient.isfinite().all()
    assert loss.item() == pytest.approx(double.item(), rel=1e-4, abs=1e-4)


def test_identical_rows_have_the_documented_value() -> None:
    rows = torch.ones(6, 2, 1, dtype=torch.float64)
    assert debiased(rows).item() == pytest.approx(math.log(11))
    assert debiased(torch.ones(1, 2, 1)).item() == 0.0


def test_given_samples_are_those_of_two_views() -> None:
    """The batch's own loss, one anchor at a time: the positive is the only sample of its class."""
    first, second = FEATURES.unbind(dim=1)
    losses = []
    for anchors, others in ((first, second), (second, first)):
        for image in range(len(anchors)):
            rest = [r for r in range(len(anchors)) if r != image]
            negatives = torch.cat([anchors[rest], others[rest]])[None]
            own = others[image][None]
            losses.append(debiased_of_samples(anchors[image][None], own, own[None], negatives, class_prior=0.2))
    assert_close(torch.stack(losses).mean(), debiased(FEATURES, class_prior=0.2))


def test_samples_of_wrong_shapes_are_refused() -> None:
    pairs, samples = torch.ones(3, 4), torch.ones(3, 2, 4)
    for given in (
        (pairs, pairs[:2], samples, samples),
        (pairs, pairs, samples[:2], samples),
        (pairs, pairs, samples, samples[..., :3]),
        (pairs, pairs, samples[:, :0], samples),
        (pairs[0], pairs[0], samples, samples),
    ):
        with pytest.raises(ValueError, match="must be"):
            debiased_of_samples(*given)


@pytest.mark.parametrize("class_prior", [-0.1, 1.0, float("nan")])
def test_a_prior_that_is_none_is_refused(class_prior: float) -> None:
    with pytest.raises(ValueError, match="class_prior"):
        debiased(FEATURES, class_prior=class_prior)
