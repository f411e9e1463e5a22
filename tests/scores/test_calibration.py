"""Calibration against loops and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import log_loss

from raycon.scores.calibration import calibration, calibration_error, equal_size_bins, equal_width_bins
from raycon.scores.probe import ProbeCache, fit_probe
from tests.scores.blobs import blobs

TRAIN, JUDGED = blobs(seed=1, noise=1.5), blobs(157, seed=2, noise=1.5)


def shares() -> list[list[float]]:
    probe = fit_probe(TRAIN.embeddings, TRAIN.labels)
    logits = ((JUDGED.embeddings.double() - probe.mean) / probe.scale) @ probe.weights.double() + probe.bias.double()
    rows = []
    for row in logits.tolist():
        raised = [math.exp(value - max(row)) for value in row]
        rows.append([value / sum(raised) for value in raised])
    return rows


def binned(members: list[list[int]], rows: list[list[float]], labels: list[int]) -> float:
    total = 0.0
    for chosen in members:
        if chosen:
            confidence = sum(max(rows[i]) for i in chosen) / len(chosen)
            accuracy = sum(rows[i].index(max(rows[i])) == labels[i] for i in chosen) / len(chosen)
            total += len(chosen) / len(rows) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15, 400])
def test_every_number_equals_a_loop(bins: int) -> None:
    found = calibration(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, ProbeCache(), bins=bins)
    rows, labels = shares(), JUDGED.labels.tolist()
    wide: list[list[int]] = [[] for _ in range(bins)]
    for i, row in enumerate(rows):
        wide[next(b for b in range(bins) if max(row) <= (b + 1) / bins or b == bins - 1)].append(i)
    order = sorted(range(len(rows)), key=lambda i: max(rows[i]))
    parts = min(bins, len(rows))
    even: list[list[int]] = [[] for _ in range(parts)]
    for place, i in enumerate(order):
        even[place * parts // len(rows)].append(i)
    assert max(map(len, even)) - min(map(len, even)) <= 1
    assert found["expected_error"] == pytest.approx(binned(wide, rows, labels), abs=1e-5)
    assert found["adaptive_error"] == pytest.approx(binned(even, rows, labels), abs=1e-5)
    brier = [sum((p - (k == y)) ** 2 for k, p in enumerate(row)) for row, y in zip(rows, labels, strict=True)]
    assert found["brier"] == pytest.approx(sum(brier) / len(brier), abs=1e-5)
    assert found["log_loss"] == pytest.approx(log_loss(labels, rows, labels=[0, 1, 2, 3]), abs=1e-5)


def test_known_errors() -> None:
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.9]).double()
    right = torch.tensor([1.0, 1.0, 1.0, 0.0]).double()
    assert calibration_error(confidence, right, torch.zeros(4).long()) == pytest.approx(0.15)
    assert equal_width_bins(torch.tensor([0.0, 0.25, 0.2500001, 0.75, 1.0]), 4).tolist() == [0, 0, 1, 2, 3]
    assert equal_size_bins(torch.tensor([0.3, 0.1, 0.2]), 9).tolist() == [2, 0, 1]


def test_a_label_that_training_lacks_has_probability_zero() -> None:
    kept = TRAIN.labels != 3
    found = calibration(TRAIN.embeddings[kept], TRAIN.labels[kept], JUDGED.embeddings, JUDGED.labels, ProbeCache())
    assert set(found) == {"expected_error", "adaptive_error", "brier"}
    assert all(math.isfinite(value) for value in found.values())
    three = JUDGED.labels == 3
    alone = calibration(
        TRAIN.embeddings[kept], TRAIN.labels[kept], JUDGED.embeddings[three], JUDGED.labels[three], ProbeCache()
    )
    assert 1 < alone["brier"] <= 2
