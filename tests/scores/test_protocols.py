"""Linear probe, nearest neighbours, coarse-to-fine and groups against loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from raycon.scores.coarse_to_fine import coarse_to_fine
from raycon.scores.groups import groups
from raycon.scores.linear_probe import linear_probe
from raycon.scores.nearest_neighbours import nearest_neighbours, nearest_rows
from raycon.scores.probe import ProbeCache, fit_probe
from tests.scores.blobs import blobs

TRAIN, JUDGED = blobs(seed=1), blobs(150, seed=2)


def test_linear_probe_counts_as_scikit_learn_does() -> None:
    predicted = fit_probe(TRAIN.embeddings, TRAIN.labels).predict(JUDGED.embeddings)
    found = linear_probe(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, ProbeCache())
    right = sum(int(a == b) for a, b in zip(predicted.tolist(), JUDGED.labels.tolist(), strict=True))
    assert found["accuracy"] == pytest.approx(right / len(JUDGED), abs=1e-12)
    expected = balanced_accuracy_score(JUDGED.labels.numpy(), predicted.numpy())
    assert found["balanced_accuracy"] == pytest.approx(expected, abs=1e-12)
    assert 0.5 < found["accuracy"] < 1


def test_linear_probe_with_labels_that_training_lacks() -> None:
    kept, three = TRAIN.labels != 3, JUDGED.labels == 3
    everything = linear_probe(
        TRAIN.embeddings[kept], TRAIN.labels[kept], JUDGED.embeddings, JUDGED.labels, ProbeCache()
    )
    lost = linear_probe(
        TRAIN.embeddings[kept], TRAIN.labels[kept], JUDGED.embeddings[three], JUDGED.labels[three], ProbeCache()
    )
    assert lost == {"accuracy": 0.0, "balanced_accuracy": 0.0}
    assert everything["accuracy"] <= 1 - three.double().mean().item() + 1e-12


@pytest.mark.parametrize("count", [1, 7, 20])
def test_weighted_neighbours_equal_scikit_learn(count: int) -> None:
    oracle = KNeighborsClassifier(
        count, metric="cosine", algorithm="brute", weights=lambda distance: np.exp(-distance / 0.07)
    ).fit(TRAIN.embeddings.numpy(), TRAIN.labels.numpy())
    expected = oracle.score(JUDGED.embeddings.numpy(), JUDGED.labels.numpy())
    found = nearest_neighbours(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, neighbours=count)
    assert found == {"accuracy": pytest.approx(expected, abs=1e-12)}


@pytest.mark.parametrize("count", [2, 8, 20])
def test_majority_neighbours_equal_scikit_learn_ties_included(count: int) -> None:
    oracle = KNeighborsClassifier(count, metric="cosine", algorithm="brute")
    oracle.fit(TRAIN.embeddings.numpy(), TRAIN.labels.numpy())
    expected = oracle.score(JUDGED.embeddings.numpy(), JUDGED.labels.numpy())
    found = nearest_neighbours(
        TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, neighbours=count, vote="majority"
    )
    assert found == {"accuracy": pytest.approx(expected, abs=1e-12)}


def test_neighbours_in_several_chunks_and_all_of_a_small_bank() -> None:
    many = blobs(2500, seed=5)
    found = nearest_neighbours(TRAIN.embeddings, TRAIN.labels, many.embeddings, many.labels)["accuracy"]
    halves = [
        nearest_neighbours(TRAIN.embeddings, TRAIN.labels, many.embeddings[part], many.labels[part])["accuracy"]
        for part in (slice(0, 1250), slice(1250, 2500))
    ]
    assert found == pytest.approx(sum(halves) / 2, abs=1e-3)
    bank, labels = TRAIN.embeddings[:5], torch.tensor([1, 1, 1, 0, 0])
    small = nearest_neighbours(bank, labels, JUDGED.embeddings, torch.ones(len(JUDGED)).long(), vote="majority")
    assert small == {"accuracy": 1.0}


def test_equal_similarities_are_broken_by_row_and_equal_votes_by_label() -> None:
    values = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.9], [0.0, 0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
    nearness, rows = nearest_rows(values, 3)
    assert sorted(rows[0].tolist()) == [0, 1, 4] and rows[1].tolist() == [0, 1, 2] and rows[2].tolist() == [4, 3, 2]
    assert torch.equal(nearness[0], torch.tensor([0.9, 0.9, 0.5]).double())
    zero = torch.zeros(4, 2)
    found = nearest_neighbours(
        zero, torch.tensor([3, 1, 0, 0]), torch.zeros(1, 2), torch.tensor([1]), neighbours=2, vote="majority"
    )
    assert found == {"accuracy": 1.0}


def test_coarse_to_fine_maps_the_predicted_classes() -> None:
    fine, coarse = TRAIN.attributes["class"], TRAIN.attributes["coarse"]
    truth, coarse_truth = JUDGED.attributes["class"], JUDGED.attributes["coarse"]
    found = coarse_to_fine(TRAIN.embeddings, fine, coarse, JUDGED.embeddings, truth, coarse_truth, ProbeCache())
    predicted = fit_probe(TRAIN.embeddings, fine).predict(JUDGED.embeddings).tolist()
    mapping = dict(zip(fine.tolist(), coarse.tolist(), strict=True))
    assert found["accuracy"] == pytest.approx(np.mean([p == t for p, t in zip(predicted, truth.tolist(), strict=True)]))
    right = [mapping[p] == t for p, t in zip(predicted, coarse_truth.tolist(), strict=True)]
    assert found["coarse_accuracy"] == pytest.approx(np.mean(right))
    assert found["accuracy"] < found["coarse_accuracy"]


def group_oracle(predicted: Tensor, labels: Tensor, group: Tensor) -> dict[int, float]:
    hits: dict[int, list[bool]] = {}
    for guess, label, number in zip(predicted.tolist(), labels.tolist(), group.tolist(), strict=True):
        hits.setdefault(number, []).append(guess == label)
    return {number: sum(values) / len(values) for number, values in hits.items()}


@pytest.mark.parametrize("dropped", [set(), {0}, {2, 7}])
def test_groups_equal_a_loop_and_leave_out_empty_ones(dropped: set[int]) -> None:
    assert JUDGED.groups is not None
    kept = torch.tensor([number not in dropped for number in JUDGED.groups.tolist()])
    embeddings, labels, group = JUDGED.embeddings[kept], JUDGED.labels[kept], JUDGED.groups[kept]
    aligned = JUDGED.attributes["aligned"][kept]
    found = groups(TRAIN.embeddings, TRAIN.labels, embeddings, labels, group, 8, ProbeCache(), aligned)
    predicted = fit_probe(TRAIN.embeddings, TRAIN.labels).predict(embeddings)
    expected = group_oracle(predicted, labels, group)
    least = sorted(expected.values())
    right = (predicted == labels).tolist()

    assert {f"group_{number}_accuracy" for number in expected} == {
        k for k in found if k.endswith("accuracy") and "group_" in k
    }
    for number, accuracy in expected.items():
        assert found[f"group_{number}_accuracy"] == pytest.approx(accuracy)
        assert found[f"group_{number}_size"] == group.tolist().count(number)
    assert found["missing"] == len(dropped)
    assert found["smallest_size"] == min(group.tolist().count(number) for number in expected)
    assert found["average_accuracy"] == pytest.approx(np.mean(right))
    assert found["unbiased_accuracy"] == pytest.approx(np.mean(list(expected.values())))
    assert found["worst_accuracy"] == pytest.approx(least[0])
    assert found["worst3_accuracy"] == pytest.approx(np.mean(least[:3]))
    for name, wanted in (("aligned_accuracy", 1), ("conflicting_accuracy", 0)):
        chosen = [r for r, a in zip(right, aligned.tolist(), strict=True) if a == wanted]
        assert found[name] == pytest.approx(np.mean(chosen))
    assert all(math.isfinite(value) for value in found.values())


def test_group_intervals_hold_at_once_and_equal_scipy() -> None:
    assert JUDGED.groups is not None
    found = groups(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, JUDGED.groups, 9, ProbeCache())
    sizes = np.bincount(JUDGED.groups.numpy(), minlength=9)
    present = [number for number in range(9) if sizes[number]]
    ends = {}
    for number in present:
        size, right = int(sizes[number]), round(found[f"group_{number}_accuracy"] * sizes[number])
        interval = binomtest(right, size).proportion_ci(1 - 0.05 / len(present), method="exact")
        ends[number] = (found[f"group_{number}_low"], found[f"group_{number}_high"])
        assert ends[number] == pytest.approx((interval.low, interval.high))
    assert found["worst_low"] == min(low for low, _ in ends.values())
    assert found["worst_high"] == min(high for _, high in ends.values())
    assert found["worst_low"] <= found["worst_accuracy"] <= found["worst_high"]
    assert -0.5 < found["worst_bias"] < 0
    assert "group_8_low" not in found and len(present) == 8


def test_adjusted_accuracy_has_the_mixture_of_training() -> None:
    assert TRAIN.groups is not None and JUDGED.groups is not None

    def scored(kept: Tensor) -> dict[str, float]:
        assert TRAIN.groups is not None and JUDGED.groups is not None
        return groups(
            TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings[kept], JUDGED.labels[kept], JUDGED.groups[kept], 8,
            ProbeCache(), None, TRAIN.groups,
        )  # fmt: skip

    found = scored(torch.arange(len(JUDGED)))
    weighted = [found[f"group_{number}_accuracy"] for number in TRAIN.groups.tolist()]
    assert found["adjusted_accuracy"] == pytest.approx(np.mean(weighted))
    assert found["adjusted_accuracy"] != pytest.approx(found["average_accuracy"], abs=1e-6)
    assert "adjusted_accuracy" not in scored(JUDGED.groups != 3)


def test_aligned_and_conflicting_are_left_out_where_there_are_none() -> None:
    def scored(aligned: Tensor | None) -> dict[str, float]:
        group = torch.zeros(len(JUDGED), dtype=torch.int64)
        return groups(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, group, 1, ProbeCache(), aligned)

    assert not {"aligned_accuracy", "conflicting_accuracy"} & set(scored(None))
    everywhere = scored(torch.ones(len(JUDGED), dtype=torch.int64))
    assert "conflicting_accuracy" not in everywhere
    assert everywhere["aligned_accuracy"] == everywhere["worst_accuracy"] == everywhere["worst3_accuracy"]
