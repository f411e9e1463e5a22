"""The probe trained by SGD against torch's own optimiser, and against the exact one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from raycon.scores.probe import fit_probe
from raycon.scores.sgd_probe import fit_by_sgd, sgd_probe
from raycon.seeding import derive_seed
from tests.scores.blobs import blobs

TRAIN, JUDGED = blobs(seed=1), blobs(300, seed=2)


@pytest.mark.parametrize("unit", [False, True])
def test_it_takes_the_steps_of_torch(unit: bool) -> None:
    probe = fit_by_sgd(
        TRAIN.embeddings, TRAIN.labels, epochs=3, batch_size=50, learning_rate=0.2, momentum=0.8, weight_decay=0.01,
        unit=unit,
    )  # fmt: skip
    values = TRAIN.embeddings.double()
    inputs = functional.normalize(values, dim=1) if unit else (values - values.mean(0)) / values.std(0, correction=0)
    linear = torch.nn.Linear(inputs.shape[1], 4, dtype=torch.float64)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimiser = torch.optim.SGD(linear.parameters(), lr=0.2, momentum=0.8, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3 * math.ceil(len(inputs) / 50))
    for epoch in range(3):
        generator = torch.Generator().manual_seed(derive_seed(0, "sgd_probe", epoch))
        for batch in torch.split(torch.randperm(len(inputs), generator=generator), 50):
            optimiser.zero_grad()
            loss = functional.cross_entropy(linear(inputs[batch]), TRAIN.labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    torch.testing.assert_close(probe.weights.double(), linear.weight.detach().T, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(probe.bias.double(), linear.bias.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("inputs", ["standardised", "unit"])
def test_it_comes_close_to_the_exact_probe(inputs: str) -> None:
    rate = 0.1 if inputs == "standardised" else 1.0
    found = sgd_probe(
        TRAIN.embeddings,
        TRAIN.labels,
        JUDGED.embeddings,
        JUDGED.labels,
        learning_rate=rate,
        inputs=inputs,  # type: ignore[arg-type]
    )
    exact = (fit_probe(TRAIN.embeddings, TRAIN.labels).predict(JUDGED.embeddings) == JUDGED.labels).double().mean()
    assert found["accuracy"] == pytest.approx(float(exact), abs=0.05)


def test_labels_keep_their_values_and_absent_ones_are_errors() -> None:
    labels, judged = TRAIN.labels * 2 + 1, torch.full_like(JUDGED.labels, 9)
    assert sgd_probe(TRAIN.embeddings, labels, JUDGED.embeddings, JUDGED.labels * 2 + 1, epochs=5)["accuracy"] > 0.5
    assert sgd_probe(TRAIN.embeddings, labels, JUDGED.embeddings, judged, epochs=1) == {"accuracy": 0.0}
