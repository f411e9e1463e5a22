"""Areas under curves, subgroups and outsiders against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import empirical_covariance
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors

from raycon.scores.out_of_distribution import (
    fixed_rows,
    mahalanobis_distances,
    neighbour_distances,
    out_of_distribution,
)
from raycon.scores.probe import ProbeCache, fit_probe
from raycon.scores.ranking import area_under_curve, false_alarms_at
from raycon.scores.subgroup_ranking import subgroup_ranking
from tests.scores.blobs import blobs

TRAIN, JUDGED = blobs(seed=1, noise=2.0), blobs(300, seed=2, noise=2.0)


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize(("positives", "negatives"), [(60, 41), (1, 30), (20, 1)])
def test_area_and_false_alarms_equal_scikit_learn_ties_included(decimals: int, positives: int, negatives: int) -> None:
    random = torch.Generator().manual_seed(decimals)
    positive = (1 + torch.randn(positives, generator=random)).round(decimals=decimals)
    negative = torch.randn(negatives, generator=random).round(decimals=decimals)
    truth = np.r_[np.ones(positives), np.zeros(negatives)]
    values = torch.cat([positive, negative]).double().numpy()
    assert area_under_curve(positive, negative) == pytest.approx(roc_auc_score(truth, values))
    false, true, _ = roc_curve(truth, values, drop_intermediate=False)
    assert false_alarms_at(positive, negative) == pytest.approx(false[true >= 0.95 - 1e-12].min())


@pytest.mark.parametrize("positive", [0, 2])
def test_subgroups_equal_scikit_learn(positive: int) -> None:
    assert JUDGED.groups is not None
    found = subgroup_ranking(
        TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, JUDGED.labels, JUDGED.groups, ProbeCache(), positive=positive
    )
    probe = fit_probe(TRAIN.embeddings, TRAIN.labels)
    share = probe.log_shares(JUDGED.embeddings).exp()[:, positive].numpy()
    labels, groups = JUDGED.labels.numpy(), JUDGED.groups.numpy()
    expected = {"area": roc_auc_score(labels == positive, share)}
    for group in sorted(set(groups[labels != positive].tolist())):
        rows = (labels == positive) | (groups == group)
        expected[f"group_{group}_area"] = roc_auc_score(labels[rows] == positive, share[rows])
    expected["worst_area"] = min(value for name, value in expected.items() if name.startswith("group_"))
    assert found == pytest.approx(expected)
    assert len(found) == 8


def test_there_is_no_area_without_both_kinds() -> None:
    group = torch.zeros(len(JUDGED), dtype=torch.int64)

    def found(labels: torch.Tensor, positive: int) -> dict[str, float]:
        return subgroup_ranking(
            TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings, labels, group, ProbeCache(), positive=positive
        )

    assert found(torch.zeros_like(group), 1) == found(torch.ones_like(group), 1) == found(JUDGED.labels, 9) == {}
    one = subgroup_ranking(
        TRAIN.embeddings, torch.ones_like(TRAIN.labels), JUDGED.embeddings, JUDGED.labels, group, ProbeCache()
    )
    assert one == {"area": 0.5, "group_0_area": 0.5, "worst_area": 0.5}


def test_neighbour_distances_equal_scikit_learn() -> None:
    unit = torch.nn.functional.normalize
    oracle = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(unit(TRAIN.embeddings.double()).numpy())
    expected = oracle.kneighbors(unit(JUDGED.embeddings.double()).numpy())[0][:, -1]
    found = neighbour_distances(TRAIN.embeddings, JUDGED.embeddings, 7)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
    assert len(neighbour_distances(TRAIN.embeddings[:3], JUDGED.embeddings, 7)) == len(JUDGED)


def test_mahalanobis_distances_equal_a_loop() -> None:
    values, labels = TRAIN.embeddings.double().numpy(), TRAIN.labels.numpy()
    means = np.stack([values[labels == label].mean(axis=0) for label in range(4)])
    covariance = empirical_covariance(values - means[labels], assume_centered=True)
    covariance += 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    expected = [
        min((row - mean) @ inverse @ (row - mean) for mean in means) for row in JUDGED.embeddings.double().numpy()
    ]
    found = mahalanobis_distances(TRAIN.embeddings, TRAIN.labels, JUDGED.embeddings)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("distance", ["neighbours", "mahalanobis"])
def test_far_images_are_found_and_equal_ones_are_not(distance: str) -> None:
    def found(outsiders: torch.Tensor) -> dict[str, float]:
        return out_of_distribution(
            TRAIN.embeddings,
            TRAIN.labels,
            JUDGED.embeddings,
            outsiders,
            distance=distance,  # type: ignore[arg-type]
            neighbours=10,
        )

    # A direction in which no blob lies, for both cosines and distances.
    away = torch.linalg.svd(TRAIN.embeddings - TRAIN.embeddings.mean(0))[2][-1]
    assert found(60 * away + 0.1 * blobs(40, seed=3).embeddings)["area"] > 0.9
    same = found(blobs(2000, seed=5, noise=2.0).embeddings)
    assert same["area"] == pytest.approx(0.5, abs=0.06)
    assert same["false_alarms"] == pytest.approx(0.95, abs=0.04)
    constant = torch.ones(20, 6)
    alike = out_of_distribution(constant, torch.zeros(20).long(), constant, constant, distance=distance)  # type: ignore[arg-type]
    assert alike == {"area": 0.5, "false_alarms": 1.0}


def test_fixed_rows_are_different_sorted_and_the_same_again() -> None:
    rows = fixed_rows(100, 10, "bank")
    assert len(set(rows.tolist())) == 10 and rows.tolist() == sorted(rows.tolist())
    assert torch.equal(rows, fixed_rows(100, 10, "bank")) and not torch.equal(rows, fixed_rows(100, 10, "judged"))
    assert fixed_rows(5, 10, "bank").tolist() == [0, 1, 2, 3, 4]
