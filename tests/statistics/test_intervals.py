"""Statistics against scipy and enumeration, and simulations of coverage and size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import clopper_pearson, mean_share_interval, paired_interval, sign_flip_floor, sign_flip_p


def test_the_interval_equals_scipy() -> None:
    values = [0.4, 1.1, -0.3, 0.8, 2.0]
    for confidence in (0.5, 0.9, 0.95, 0.99):
        found = paired_interval(values, confidence)
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.n == 5
    assert (found.mean, found.sd) == pytest.approx((0.8, float(np.std(values, ddof=1))))
    assert found.method == "99% paired t interval, n = 5"


def test_equal_differences_give_a_point() -> None:
    found = paired_interval([0.5, 0.5, 0.5])
    assert (found.low, found.mean, found.high, found.sd) == (0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]]])
def test_too_few_or_broken_differences_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="differences"):
        paired_interval(values)
    with pytest.raises(ValueError, match="differences"):
        sign_flip_p(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_must_be_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_interval([1.0, 2.0], confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        clopper_pearson(1, 2, confidence)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    draws = np.random.default_rng(n).normal(1.0, 2.0, size=(4000, n))
    intervals = [paired_interval(row) for row in draws]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.0125)  # 3.6 standard errors


def test_the_sign_flip_test_equals_enumeration_and_scipy() -> None:
    random = np.random.default_rng(0)
    for n in (2, 3, 6, 9):
        values = random.normal(0.5, 1.0, n)
        flips = np.array(list(itertools.product([1, -1], repeat=n)))
        expected = np.mean(np.abs((flips * values).mean(axis=1)) >= abs(values.mean()) - 1e-12)
        assert sign_flip_p(values) == expected
        other = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=2**n)
        assert sign_flip_p(values) == pytest.approx(other.pvalue)


def test_ties_that_rounding_would_break_count_as_as_far() -> None:
    # 0.1 + 0.2 - 0.3 is not exactly 0 in floating point: all eight patterns that only permute equal sums must count.
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0


def test_the_floor_is_reached_when_all_signs_agree() -> None:
    for n in (2, 5, 16):
        values = np.linspace(1, 2, n)
        assert sign_flip_p(values) == sign_flip_floor(n) == 2.0 ** (1 - n)
        assert sign_flip_p(-values) == sign_flip_p(values)
    with pytest.raises(ValueError, match="at least 2"):
        sign_flip_floor(1)


def test_many_differences_are_sampled_and_agree_with_the_exact_test() -> None:
    values = np.random.default_rng(3).normal(0.35, 1.0, 17)
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= abs(values.sum()) - 1e-9)
    assert sign_flip_p(values) == pytest.approx(exact, abs=0.006)
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(values, generator=np.random.default_rng(9)) != sign_flip_p(values)
    assert sign_flip_p(np.ones(40), flips=999) == 1 / 1000


@pytest.mark.parametrize("n", [6, 8])
def test_the_sign_flip_test_keeps_its_size_on_symmetric_differences(n: int) -> None:
    draws = np.random.default_rng(n).standard_t(3, size=(2000, n))
    p_values = np.array([sign_flip_p(row) for row in draws])
    for alpha in (0.05, 0.1, 0.25):
        size = np.floor(alpha / sign_flip_floor(n)) * sign_flip_floor(n)  # the attainable level at or below alpha
        assert np.mean(p_values <= alpha) == pytest.approx(size, abs=4 * np.sqrt(size * (1 - size) / 2000))


def test_clopper_pearson_equals_scipy_and_its_edges() -> None:
    for successes, trials in ((0, 5), (3, 10), (10, 10), (150, 182)):
        expected = stats.binomtest(successes, trials).proportion_ci(0.9, method="exact")
        assert clopper_pearson(successes, trials, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 4)[0] == 0.0 and clopper_pearson(4, 4)[1] == 1.0
    for successes, trials in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="successes"):
            clopper_pearson(successes, trials)


def test_clopper_pearson_never_covers_less_than_it_says() -> None:
    trials = 23
    bounds = np.array([clopper_pearson(k, trials) for k in range(trials + 1)])
    for share in np.linspace(0.01, 0.99, 99):
        inside = (bounds[:, 0] <= share) & (share <= bounds[:, 1])
        coverage = stats.binom.pmf(np.arange(trials + 1), trials, share)[inside].sum()
        assert 0.95 <= coverage + 1e-12 <= 1.0 + 1e-9


@pytest.mark.parametrize(("truth", "sizes"), [([0.85] * 4, [182] * 4), ([0.98, 0.6, 0.8], [40, 500, 90])])
def test_the_interval_of_a_mean_over_groups_covers(truth: list[float], sizes: list[int]) -> None:
    random = np.random.default_rng(7)
    inside, widths = 0, []
    for _ in range(1500):
        low, high = mean_share_interval(random.binomial(sizes, truth).tolist(), sizes)
        inside += bool(low <= np.mean(truth) <= high)
        widths.append(high - low)
    assert 0.94 <= inside / 1500 <= 0.99
    exact = 2 * 1.96 * np.sqrt(np.sum(np.array(truth) * (1 - np.array(truth)) / np.array(sizes))) / len(sizes)
    assert exact < np.mean(widths) < 1.3 * exact


def test_the_interval_of_a_mean_over_groups_at_its_ends() -> None:
    assert mean_share_interval([7], [9]) == pytest.approx(clopper_pearson(7, 9))
    low, high = mean_share_interval([5, 6], [5, 6])
    assert high == 1.0 and 0.5 < low < 1.0
    assert mean_share_interval([0, 0], [5, 6])[0] == 0.0
    for successes, trials in (([], []), ([1], [0]), ([1, 2], [3]), ([4], [3])):
        with pytest.raises(ValueError):
            mean_share_interval(successes, trials)
