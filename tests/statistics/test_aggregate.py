"""Aggregates over tasks and groups, and what their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import cluster_bootstrap, interquartile_mean, probability_of_improvement, worst_group


def test_the_interquartile_mean_is_scipys_trimmed_mean() -> None:
    table = np.random.default_rng(0).normal(size=(7, 3))
    assert interquartile_mean(table) == pytest.approx(stats.trim_mean(table.ravel(), 0.25))
    assert interquartile_mean([[1.0, 2.0, 6.0]]) == 3.0


def test_the_probability_of_improvement_counts_ties_as_half() -> None:
    assert probability_of_improvement([1.0, -1.0, 0.0, 2.0]) == pytest.approx(0.625)
    with pytest.raises(ValueError, match="not be none"):
        probability_of_improvement([])


def test_the_cluster_bootstrap_refuses_few_runs_and_covers_with_many() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(ValueError, match="needs 20 runs"):
        cluster_bootstrap(np.zeros((19, 2)), np.mean, generator=random)
    inside = naive = 0
    for _ in range(300):
        table = random.normal(size=(30, 1)) + 0.3 * random.normal(size=(30, 6))
        low, high = cluster_bootstrap(table, np.mean, generator=random, resamples=400)
        inside += low <= 0 <= high
        half = 1.96 * table.std() / np.sqrt(table.size)
        naive += abs(table.mean()) <= half
    assert 0.89 <= inside / 300 <= 0.98
    assert naive / 300 < 0.7


def test_the_worst_group() -> None:
    found = worst_group([90, 40, 0], [100, 50, 0], generator=np.random.default_rng(2))
    assert found.accuracy == 0.8 and found.intervals[2] is None
    assert found.low < 0.8 < found.high and found.bias < 0
    with pytest.raises(ValueError, match="at least one"):
        worst_group([0], [0], generator=np.random.default_rng(2))


def test_the_worst_groups_interval_covers_and_its_bias_is_seen() -> None:
    random = np.random.default_rng(3)
    sizes, truth = [182, 182, 182, 182], 0.85
    inside, shortfall, estimated = 0, [], []
    for _ in range(400):
        correct = random.binomial(sizes, truth)
        found = worst_group([int(c) for c in correct], sizes, generator=random, draws=300)
        inside += found.low <= truth <= found.high
        shortfall.append(found.accuracy - truth)
        estimated.append(found.bias)
    assert inside / 400 >= 0.94
    assert np.mean(shortfall) == pytest.approx(-0.0277, abs=0.004)
    assert 0.7 < np.mean(estimated) / np.mean(shortfall) < 1.0


@pytest.mark.parametrize(
    ("groups", "size", "spread", "least", "most"),
    [(2, 200, 0.0, 0.65, 1.0), (8, 100, 0.0, 0.7, 1.0), (10, 500, 0.01, 0.9, 1.45), (8, 100, 0.05, 0.8, 1.35)],
)
def test_the_bias_of_the_worst_group_over_many_sets_of_groups(
    groups: int, size: int, spread: float, least: float, most: float
) -> None:
    """The mean estimate against the mean shortfall, where the true accuracies of groups spread by so much."""
    random = np.random.default_rng(4)
    shortfall, estimated = [], []
    for _ in range(600):
        truth = np.clip(random.normal(0.85, spread, groups), 0.02, 0.98)
        correct = random.binomial(size, truth, size=(50, groups))
        shortfall.append(np.mean(correct.min(axis=1) / size) - truth.min())
        found = worst_group(correct[0].tolist(), [size] * groups, generator=random, draws=200)
        estimated.append(found.bias)
    assert least < np.mean(estimated) / np.mean(shortfall) < most


def test_a_group_that_is_clearly_the_worst_has_no_bias() -> None:
    random = np.random.default_rng(5)
    found = [
        worst_group(random.binomial(180, [0.95, 0.93, 0.9, 0.6]).tolist(), [180] * 4, generator=random, draws=2000).bias
        for _ in range(50)
    ]
    assert abs(np.mean(found)) < 0.002
    assert worst_group([5], [9], generator=random).bias == 0.0
    assert worst_group([5, 5], [5, 5], generator=random).bias == 0.0
