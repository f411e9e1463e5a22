"""Learning-rate schedules and LARS against their formulas."""

from __future__ import annotations

import pytest
import torch

from raycon.config import Training
from raycon.optimisers import LARS, learning_rate_at, supcontrast_rate


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant", "epoch_cosine", "epoch_steps"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_the_rate_is_positive_and_never_above_the_peak(schedule: str, warmup: float) -> None:
    training = Training(schedule=schedule, warmup=warmup, learning_rate=0.4)  # type: ignore[arg-type]  # parametrised
    rates = [learning_rate_at(step, 100, training) for step in range(100)]
    assert all(0 < rate <= 0.4 for rate in rates)
    # A cosine by epoch is below its peak from the first epoch on, and after a long warm-up never near it.
    lowest = 0.0 if schedule == "epoch_cosine" and warmup > 0.1 else 0.36
    assert max(rates) > lowest


def test_one_cycle_follows_torch() -> None:
    training = Training(schedule="one_cycle", warmup=0.2, learning_rate=0.4)
    weights = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([weights], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.4, total_steps=100, pct_start=0.2)
    theirs: list[float] = []
    for _ in range(100):
        theirs.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        reference.step()
    ours = [learning_rate_at(step, 100, training) for step in range(100)]
    # The two place the peak one step apart, since torch counts from the first step's own rate.
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 0.04


def by_epoch(training: Training, batches: int) -> list[list[float]]:
    total = batches * training.epochs
    rates = [learning_rate_at(step, total, training) for step in range(total)]
    return [rates[start : start + batches] for start in range(0, total, batches)]


def test_steps_by_epoch_fall_after_seven_eight_and_nine_tenths() -> None:
    training = Training(schedule="epoch_steps", warmup=0.2, learning_rate=1.0, epochs=10)
    rates = by_epoch(training, 4)
    assert rates[0] == pytest.approx([0.02 + 0.98 * place / 8 for place in range(4)])
    assert rates[1] == pytest.approx([0.02 + 0.98 * place / 8 for place in range(4, 8)])
    assert [set(row) for row in rates[2:7]] == [{1.0}] * 5
    assert [row[-1] for row in rates[7:]] == pytest.approx([0.1, 0.01, 0.001])


def test_the_cosine_by_epoch_joins_its_warm_up_and_ends_at_its_floor() -> None:
    training = Training(schedule="epoch_cosine", warmup=0.25, learning_rate=0.4, epochs=8)
    rates = by_epoch(training, 5)
    known = {"batches": 5, "epochs": 8, "learning_rate": 0.4, "warm_epochs": 2, "warm_from": 0.008}
    flat = supcontrast_rate(2, 0, batches=5, epochs=8, learning_rate=0.4)
    assert rates[0][0] == 0.008
    assert rates[1][4] < flat and rates[1][4] + (rates[1][4] - rates[1][3]) == pytest.approx(flat)
    assert all(row == [supcontrast_rate(place + 1, 0, **known)] * 5 for place, row in enumerate(rates) if place > 1)  # type: ignore[arg-type]  # numbers all
    assert rates[-1][0] == pytest.approx(0.4 * 0.1**3)


def test_lars_takes_a_step_of_the_trusted_length() -> None:
    weights = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    bias = torch.nn.Parameter(torch.tensor([1.0]))
    weights.grad, bias.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.5])
    LARS([weights, bias], lr=1.0, momentum=0.9, weight_decay=0.0, trust=0.1).step()
    assert torch.allclose(weights, torch.tensor([[3.0, 4.0 - 0.1 * 5 / 2 * 2]]))
    assert torch.allclose(bias, torch.tensor([0.5]))


def test_lars_with_zero_weights_is_plain_descent() -> None:
    weights = torch.nn.Parameter(torch.zeros(1, 2))
    weights.grad = torch.ones(1, 2)
    LARS([weights], lr=0.5, momentum=0.0, weight_decay=0.1).step()
    assert torch.allclose(weights, torch.full((1, 2), -0.5))
