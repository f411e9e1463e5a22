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
    assert -0.03 < np.mean(estimated) < -0.005
