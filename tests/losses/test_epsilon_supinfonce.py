"""The floor of the authors' code: what it adds, and what its gradient leaves out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from raycon.losses import epsilon_supinfonce
from tests.losses.catalogue import inputs


def _shifted(features: Tensor, labels: Tensor, epsilon: float, floor: float, temperature: float) -> Tensor:
    """As the authors write it: shift by the row's maximum, the self pair included, then add the floor."""
    rows, classes = features[:, 0], labels
    logits = rows @ rows.T / temperature
    shifted = logits - logits.max(dim=1, keepdim=True).values.detach()
    alike = classes[:, None] == classes[None, :]
    negatives = (shifted.exp() * ~alike).sum(1, keepdim=True)
    log_ratio = shifted - (shifted.exp() * torch.tensor(-epsilon).double().exp() + negatives + floor).log()
    positives = alike & ~torch.eye(len(rows), dtype=torch.bool)
    return -((log_ratio * positives).sum(1) / positives.sum(1).clamp(min=1)).mean()


@pytest.mark.parametrize("floor", [1e-6, 0.3])
def test_value_and_gradient_with_a_floor(floor: float) -> None:
    case = inputs("epsilon_supinfonce", views=1)
    features = case["features"].requires_grad_()
    ours = epsilon_supinfonce(features, case["labels"], epsilon=0.5, floor=floor)
    theirs = _shifted(features, case["labels"], 0.5, floor, 0.1)
    assert_close(ours, theirs)
    assert_close(torch.autograd.grad(ours, features)[0], torch.autograd.grad(theirs, features)[0])


def test_the_floor_is_felt_at_small_temperatures_only() -> None:
    case = inputs("epsilon_supinfonce")

    def effect(temperature: float) -> float:
        plain = epsilon_supinfonce(**case, temperature=temperature)
        return (epsilon_supinfonce(**case, temperature=temperature, floor=1e-6) - plain).abs().item()

    assert effect(0.5) < 1e-4 < 0.05 < effect(0.01)
