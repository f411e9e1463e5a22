"""Power, seeds, replication and the best of n: against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import (
    detectable_effect,
    expected_best,
    paired_t_power,
    prediction_interval,
    required_seeds,
    sign_flip_floor,
    sign_flip_seeds,
)


def test_power_is_what_a_simulation_finds() -> None:
    rows = np.random.default_rng(0).normal(1.0, 1.2, size=(8000, 7))
    found = stats.ttest_1samp(rows, 0.0, axis=1)
    share = float(np.mean((found.pvalue <= 0.05) & (found.statistic > 0)))
    assert paired_t_power(1.0, 1.2, 7) == pytest.approx(share, abs=0.015)
    assert paired_t_power(0.0, 1.0, 7) == pytest.approx(0.025)


def test_required_seeds_is_the_first_number_that_is_enough() -> None:
    for effect, contrasts in ((1.0, 1), (1.0, 7), (0.3, 3)):
        n = required_seeds(effect, 1.0, contrasts=contrasts)
        assert paired_t_power(effect, 1.0, n, 0.05 / contrasts) >= 0.8
        assert paired_t_power(effect, 1.0, n - 1, 0.05 / contrasts) < 0.8
    assert detectable_effect(1.0, required_seeds(0.5, 1.0)) <= 0.5
    assert paired_t_power(detectable_effect(2.0, 9), 2.0, 9) == pytest.approx(0.8, abs=1e-6)


def test_impossible_questions_are_refused() -> None:
    for call in (
        lambda: required_seeds(0.0, 1.0),
        lambda: required_seeds(1e-4, 1.0),
        lambda: paired_t_power(1.0, 0.0, 5),
        lambda: paired_t_power(1.0, 1.0, 1),
        lambda: sign_flip_seeds(0),
        lambda: expected_best([0.1], 2),
        lambda: prediction_interval([0.1, 0.2], 0),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()


def test_seeds_for_the_sign_flip_floor() -> None:
    assert [sign_flip_seeds(k) for k in (1, 3, 5, 8, 10, 15)] == [6, 7, 8, 9, 9, 10]
    for k in range(1, 40):
        n = sign_flip_seeds(k)
        assert sign_flip_floor(n) <= 0.05 / k < sign_flip_floor(n - 1)


def test_expected_best_is_the_mean_over_all_subsets() -> None:
    values = list(np.random.default_rng(1).normal(size=8))
    for n in range(1, 9):
        brute = np.mean([max(chosen) for chosen in combinations(values, n)])
        assert expected_best(values, n) == pytest.approx(brute)
    curve = [expected_best(values, n) for n in range(1, 9)]
    assert curve == sorted(curve) and curve[-1] == max(values)


def test_the_prediction_interval_holds_what_a_rerun_gives() -> None:
    random = np.random.default_rng(2)
    for further in (1, 5):
        inside = 0
        for _ in range(3000):
            low, high = prediction_interval(random.normal(size=5), further)
            inside += low <= random.normal(size=further).mean() <= high
        assert 0.93 <= inside / 3000 <= 0.97
