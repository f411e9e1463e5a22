"""Accuracies by the number of training images, against loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raycon.scores.probe import ProbeCache, fit_probe
from raycon.scores.shots import nearest_class_means, shot_accuracies, shots
from tests.scores.blobs import blobs

SIZES = (300, 150, 100, 50, 20, 19, 3)
TRAIN = torch.arange(7).repeat_interleave(torch.tensor(SIZES))


def _judged(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(7).repeat_interleave(10)
    wrong = torch.rand(70, generator=generator) < torch.linspace(0.1, 0.8, 7).repeat_interleave(10)
    return torch.where(wrong, (labels + 1) % 7, labels), labels


def _class_accuracies(predicted: Tensor, labels: Tensor) -> dict[int, float]:
    hits: dict[int, list[bool]] = {}
    for guess, label in zip(predicted.tolist(), labels.tolist(), strict=True):
        hits.setdefault(label, []).append(guess == label)
    return {label: sum(values) / len(values) for label, values in hits.items()}


def test_groups_of_classes_equal_a_loop() -> None:
    predicted, labels = _judged()
    found, by_class = shot_accuracies(predicted, labels, TRAIN)
    expected = _class_accuracies(predicted, labels)
    assert by_class.tolist() == pytest.approx([expected[k] for k in range(7)])
    members = {
        "many": (0, 1),
        "medium": (2, 3, 4),
        "few": (5, 6),
        "head": (0, 1),
        "middle": (2, 3, 4),
        "tail": (5, 6),
    }
    for name, classes in members.items():
        assert found[name] == pytest.approx(sum(expected[k] for k in classes) / len(classes)), name


def test_ranks_follow_the_counts_not_the_numbers_of_the_classes() -> None:
    predicted, labels = _judged()
    mirrored, _ = shot_accuracies(6 - predicted, 6 - labels, 6 - TRAIN)
    straight, _ = shot_accuracies(predicted, labels, TRAIN)
    assert mirrored == pytest.approx(straight)


def test_an_empty_group_is_absent_or_has_the_value_that_was_asked_for() -> None:
    predicted, labels = _judged()
    found, _ = shot_accuracies(predicted, labels, TRAIN, few=2)
    assert "few" not in found and set(found) == {"many", "medium", "head", "middle", "tail"}
    assert shot_accuracies(predicted, labels, TRAIN, few=2, empty=0.0)[0]["few"] == 0.0


def test_a_class_that_is_not_judged_does_not_count() -> None:
    predicted, labels = _judged()
    kept = labels != 6
    found, by_class = shot_accuracies(predicted[kept], labels[kept], TRAIN)
    assert math.isnan(by_class[6].item())
    assert found["few"] == pytest.approx(_class_accuracies(predicted, labels)[5])


def test_the_protocol_judges_the_probe_or_the_class_means() -> None:
    train, judged = blobs(seed=1), blobs(150, seed=2)
    for classifier in ("probe", "class_means"):
        found = shots(
            train.embeddings,
            train.labels,
            judged.embeddings,
            judged.labels,
            ProbeCache(),
            classifier=classifier,
            many=60.0,
            few=50.0,
        )
        if classifier == "probe":
            predicted = fit_probe(train.embeddings, train.labels).predict(judged.embeddings)
        else:
            predicted = nearest_class_means(train.embeddings, train.labels, judged.embeddings)
        expected = _class_accuracies(predicted, judged.labels)
        assert found["worst_class_accuracy"] == pytest.approx(min(expected.values()))
        assert found["class_accuracy"] == pytest.approx(sum(expected.values()) / 4)
        assert 0.4 < found["class_accuracy"] < 1


def test_class_means_equal_a_loop_and_never_predict_an_absent_label() -> None:
    train, judged = blobs(seed=1), blobs(40, seed=2)
    kept = train.labels != 2
    predicted = nearest_class_means(train.embeddings[kept], train.labels[kept], judged.embeddings)
    for row, guess in zip(judged.embeddings.double(), predicted.tolist(), strict=True):
        cosines = {}
        for k in (0, 1, 3):
            members = train.embeddings[train.labels == k].double()
            mean = (members / members.norm(dim=1, keepdim=True)).mean(dim=0)
            cosines[k] = float(row @ mean / mean.norm())
        assert guess == max(cosines, key=lambda k: cosines[k])
