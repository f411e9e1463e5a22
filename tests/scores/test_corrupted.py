"""The corruption protocol against a loop from its formulas, and transfer against the probe it stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raycon.metric_names import CORRUPTION_FAMILIES
from raycon.scores import Corrupted, Transferred
from raycon.scores.corruptions import corruptions
from raycon.scores.linear_probe import linear_probe
from raycon.scores.probe import ProbeCache, fit_probe
from raycon.scores.transfer import transfer
from tests.scores.blobs import blobs, further

TRAIN, JUDGED = blobs(seed=1), blobs(150, seed=2)
CORRUPTED = further(TRAIN, JUDGED)["corrupted"]


def scored(corrupted: Corrupted) -> dict[str, float]:
    return corruptions(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, corrupted, ProbeCache())


def test_every_number_equals_a_loop() -> None:
    assert isinstance(CORRUPTED, Corrupted)
    found = scored(CORRUPTED)
    probe = fit_probe(TRAIN.embeddings, TRAIN.labels)
    pixel_probe = fit_probe(CORRUPTED.train_pixels, TRAIN.labels[CORRUPTED.train_rows])
    truth = JUDGED.labels[CORRUPTED.rows].tolist()

    def error(guesses: torch.Tensor) -> float:
        return sum(int(a != b) for a, b in zip(guesses.tolist(), truth, strict=True)) / len(truth)

    clean, clean_pixels = error(probe.predict(JUDGED.embeddings[::2])), error(pixel_probe.predict(JUDGED.features[::2]))
    accuracies, ratios, relative = [], [], []
    for family in CORRUPTION_FAMILIES:
        ours = [error(probe.predict(CORRUPTED.embeddings[family, s])) for s in range(1, 6)]
        theirs = [error(pixel_probe.predict(CORRUPTED.pixels[family, s])) for s in range(1, 6)]
        accuracies.append(1 - sum(ours) / 5)
        ratios.append(sum(ours) / sum(theirs))
        relative.append((sum(ours) - 5 * clean) / (sum(theirs) - 5 * clean_pixels))
        assert found[f"{family}_accuracy"] == pytest.approx(accuracies[-1])
    assert found["accuracy"] == pytest.approx(sum(accuracies) / 15)
    assert found["worst_accuracy"] == pytest.approx(min(accuracies))
    assert found["clean_accuracy"] == pytest.approx(1 - clean)
    assert found["mean_error"] == pytest.approx(sum(ratios) / 15)
    assert found["relative_error"] == pytest.approx(sum(relative) / 15)
    assert found["accuracy"] < found["clean_accuracy"]


def test_a_baseline_without_errors_gives_no_ratio() -> None:
    assert isinstance(CORRUPTED, Corrupted)
    easy = torch.nn.functional.one_hot(JUDGED.labels[CORRUPTED.rows], 4).float()
    spotless = replace(
        CORRUPTED,
        pixels=dict.fromkeys(CORRUPTED.pixels, easy),
        clean_pixels=easy,
        train_pixels=torch.nn.functional.one_hot(TRAIN.labels[CORRUPTED.train_rows], 4).float(),
    )
    found = scored(spotless)
    assert "mean_error" not in found and "relative_error" not in found
    assert found["accuracy"] == scored(CORRUPTED)["accuracy"]


def test_transfer_is_the_linear_probe_of_the_other_set() -> None:
    other = Transferred(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels)
    expected = linear_probe(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, ProbeCache())
    assert transfer(other, ProbeCache()) == expected
