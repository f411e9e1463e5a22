"""Clusters, agreement and the Group-DRO probe against scikit-learn and autograd, and on a set with hidden groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_samples
from torch import Tensor

from raycon.losses.group_dro import group_dro_step
from raycon.scores.clusters import cluster_labels
from raycon.scores.estimated_groups import (
    adjusted_rand,
    agreement_within_labels,
    estimated_groups,
    fit_group_dro,
)
from raycon.scores.probe import ProbeCache
from raycon.seeding import derive_seed


def hidden(rows: int, *, seed: int, share: float = 0.05) -> tuple[Tensor, Tensor, Tensor]:
    """Two labels; a strong cue agrees with the label but in a small group of each, a weak cue always does."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 2
    against = torch.rand(rows, generator=random) < share
    cue = torch.where(against, 1 - labels, labels)
    values = torch.stack([6.0 * cue, 1.5 * labels, torch.zeros(rows)], dim=1)
    return values + 0.7 * torch.randn(rows, 3, generator=random), labels, labels * 2 + against


TRAIN, JUDGED = hidden(1200, seed=1), hidden(1000, seed=2, share=0.5)


@pytest.mark.parametrize("parts", [(3, 4), (1, 5), (1, 1), (40, 40)])
def test_adjusted_rand_equals_scikit_learn(parts: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    first, second = (random.integers(0, count, 40) + 5 for count in parts)
    second[:15] = first[:15]
    expected = adjusted_rand_score(first, second)
    assert adjusted_rand(torch.from_numpy(first), torch.from_numpy(second)) == pytest.approx(expected)


def test_agreement_is_within_labels_and_weighted_by_images() -> None:
    labels = torch.tensor([0] * 6 + [1] * 4 + [2] * 5)
    true = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4])
    estimated = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 4, 5, 4])
    expected = (6 * adjusted_rand_score(true[:6], estimated[:6]) + 4 * 1.0) / 10  # label 2 has one true group
    assert agreement_within_labels(estimated, true, labels) == pytest.approx(expected)
    assert agreement_within_labels(estimated, labels, labels) is None


def test_the_number_of_clusters_has_the_best_silhouette() -> None:
    random = np.random.default_rng(0)
    centres = 8 * random.standard_normal((3, 4))
    values = centres[np.repeat([0, 0, 0, 1, 1, 2], 40)] + random.standard_normal((240, 4))
    scores = {}
    for count in range(2, 7):
        found = KMeans(count, n_init=3, random_state=0).fit(values).labels_
        silhouettes = silhouette_samples(values, found)
        scores[count] = np.mean([silhouettes[found == cluster].mean() for cluster in range(count)])
    assert max(scores, key=lambda count: scores[count]) == 3
    tensor = torch.from_numpy(values)
    clusters = cluster_labels(tensor, torch.full((240,), 4), most=6)
    assert list(clusters.centres) == [4] and len(clusters) == 3
    found = clusters.assign(tensor, torch.full((240,), 4))
    assert adjusted_rand_score(found, np.repeat([0, 1, 2], [120, 80, 40])) == 1.0
    assert clusters.assign(tensor[:2], torch.tensor([4, 7])).tolist() == [found[0], -1]


def test_labels_that_cannot_be_divided_are_one_group() -> None:
    values = torch.cat([torch.ones(9, 3), torch.tensor([[1.0, 2, 3]]), torch.eye(3)[:2]])
    labels = torch.tensor([0] * 9 + [1] + [2] * 2)
    clusters = cluster_labels(values, labels, most=6)
    assert clusters.assign(values, labels).tolist() == [0] * 9 + [1] + [2] * 2
    assert len(cluster_labels(TRAIN[0], TRAIN[1], most=1)) == 2


def test_the_probe_takes_the_steps_of_group_dro_by_autograd() -> None:
    values, labels, groups = TRAIN
    probe = fit_group_dro(
        values, labels, groups, 4, steps=12, batch_size=32, learning_rate=0.1, step_size=0.05, size_adjustment=2.0
    )
    rows = (values.double() - values.double().mean(0)) / values.double().std(0, correction=0)
    weights = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([weights, bias], lr=0.1, momentum=0.9)
    log_weights, counts = torch.zeros(4, dtype=torch.float64), torch.bincount(groups)
    generator = torch.Generator().manual_seed(derive_seed(0, "group_dro_probe"))
    members = [(groups == group).nonzero().flatten() for group in range(4)]
    for step in range(12):
        draws = torch.rand(2, 32, generator=generator, dtype=torch.float64)
        drawn = [int(draw * 4) for draw in draws[0]]
        batch = torch.stack([members[g][int(draw * len(members[g]))] for g, draw in zip(drawn, draws[1], strict=True)])
        loss, log_weights = group_dro_step(
            rows[batch] @ weights + bias, labels[batch], torch.tensor(drawn), log_weights, counts,
            step_size=0.05, size_adjustment=2.0,
        )  # fmt: skip
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 12)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.testing.assert_close(probe.weights.double(), weights.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(probe.bias.double(), bias.detach(), atol=1e-5, rtol=1e-4)


def test_hidden_groups_are_found_and_group_dro_helps_them() -> None:
    (values, labels, _), (judged, judged_labels, groups) = TRAIN, JUDGED
    probes = ProbeCache()
    found = estimated_groups(values, labels, judged, judged_labels, probes, groups)
    assert found["count"] == 4
    assert found["agreement"] > 0.9
    assert found["robust_worst_accuracy"] > found["worst_accuracy"] + 0.1
    assert found["true_worst_accuracy"] > 0.6
    plain = probes.fit(values, labels, iterations=80, l2=1e-4).predict(judged) == judged_labels
    cluster = cluster_labels(values, labels, most=6).assign(judged, judged_labels)
    by_loop = [plain[cluster == number].double().mean().item() for number in range(4)]
    assert found["worst_accuracy"] == pytest.approx(min(by_loop))


def test_without_true_groups_and_with_labels_that_training_lacks() -> None:
    (values, labels, _), (judged, judged_labels, groups) = TRAIN, JUDGED
    found = estimated_groups(values, labels, judged, judged_labels, ProbeCache(), steps=5)
    assert set(found) == {"count", "robust_accuracy", "worst_accuracy", "robust_worst_accuracy"}
    strange = estimated_groups(values, labels, judged, judged_labels + 5, ProbeCache(), groups, steps=5)
    assert strange == {"count": found["count"], "robust_accuracy": 0.0, "true_worst_accuracy": 0.0}
    assert all(math.isfinite(value) for value in found.values())
