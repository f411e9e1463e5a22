"""The generalised losses: their limits, and the gradient that public code gives by other means."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raycon.losses import (
    cross_entropy,
    generalised_cross_entropy,
    generalised_cross_entropy_reference,
    generalised_supcon,
    generalised_supcon_reference,
    supcon,
)
from tests.losses.catalogue import inputs


def _gradient(loss: Tensor, by: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, by)
    return gradient


def test_amplification_zero_is_the_plain_loss() -> None:
    pairs, scores = inputs("generalised_supcon"), inputs("generalised_cross_entropy")
    torch.testing.assert_close(
        generalised_supcon(**pairs, temperature=0.2, amplification=0.0), supcon(**pairs, temperature=0.2)
    )
    torch.testing.assert_close(generalised_cross_entropy(**scores, amplification=0.0), cross_entropy(**scores))
    close = generalised_cross_entropy(**scores, amplification=1e-9)
    torch.testing.assert_close(close, cross_entropy(**scores), rtol=1e-7, atol=0)


@pytest.mark.parametrize("amplification", [0.3, 0.7, 1.0])
def test_public_code_has_the_same_gradient_times_amplification(amplification: float) -> None:
    pairs, scores = inputs("generalised_supcon"), inputs("generalised_cross_entropy")
    features, logits = pairs["features"].requires_grad_(), scores["logits"].requires_grad_()
    ours = _gradient(generalised_supcon(**pairs, amplification=amplification), features)
    public = generalised_supcon_reference(**pairs, amplification=amplification, floor=0.0)
    torch.testing.assert_close(_gradient(public, features), amplification * ours)
    ours = _gradient(generalised_cross_entropy(**scores, amplification=amplification), logits)
    public = generalised_cross_entropy_reference(**scores, amplification=amplification).mean()
    torch.testing.assert_close(_gradient(public, logits), amplification * ours)


def test_what_is_easy_counts_most() -> None:
    logits = torch.tensor([[[4.0, 0.0]], [[-4.0, 0.0]]], requires_grad=True)
    labels = torch.tensor([0, 0])
    plain = _gradient(cross_entropy(logits, labels), logits).norm(dim=2)[:, 0]
    biased = _gradient(generalised_cross_entropy(logits, labels, amplification=0.7), logits).norm(dim=2)[:, 0]
    assert biased[0] / plain[0] > 0.9 and biased[1] / plain[1] < 0.1


@pytest.mark.parametrize("amplification", [-0.1, 1.5, float("nan")])
def test_amplification_is_a_fraction(amplification: float) -> None:
    with pytest.raises(ValueError, match="amplification must be from 0 to 1"):
        generalised_cross_entropy(**inputs("generalised_cross_entropy"), amplification=amplification)


def test_extreme_logits_are_finite() -> None:
    logits = torch.tensor([[[500.0, 0.0]], [[-500.0, 0.0]]], requires_grad=True)
    loss = generalised_cross_entropy(logits, torch.tensor([0, 0]))
    assert loss.item() == pytest.approx(0.5 / 0.7)
    assert _gradient(loss, logits).isfinite().all()
