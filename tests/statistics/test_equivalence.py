"""Verdicts on claims: against scipy, and how often they are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import equivalence_p, judge, paired_interval, paired_t_p


def test_p_values_equal_scipy() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, size=8)
    assert paired_t_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    upper = stats.ttest_1samp(values, 2.0, alternative="less").pvalue
    lower = stats.ttest_1samp(values, -2.0, alternative="greater").pvalue
    assert equivalence_p(values, 2.0) == pytest.approx(max(upper, lower))


def test_equivalence_is_the_ninety_percent_interval_inside_the_margin() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        values = random.normal(0, 0.5, size=6)
        interval = paired_interval(values, 0.9)
        assert (equivalence_p(values, 0.5) <= 0.05) == (max(-interval.low, interval.high) < 0.5)


def test_degenerate_differences() -> None:
    assert paired_t_p([0.0, 0.0]) == 1.0 and paired_t_p([1.0, 1.0]) == 0.0
    assert equivalence_p([0.2, 0.2], 0.5) == 0.0 and equivalence_p([0.7, 0.7], 0.5) == 1.0
    with pytest.raises(ValueError, match="margin"):
        equivalence_p([0.1, 0.2], 0.0)


def test_the_three_verdicts() -> None:
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.0, 0.0])
    assert judge(1 + noise, sign="positive", margin=0.5).verdict == "shown"
    opposite = judge(-1 + noise, sign="positive", margin=0.5)
    assert opposite.verdict == "unresolved" and opposite.against
    assert judge(noise + 0.2, sign="positive", margin=0.5).verdict == "equivalent"
    assert judge(noise * 20, sign="positive", margin=0.5).verdict == "unresolved"
    assert judge(1 + noise, sign="positive", margin=0.5, adjusted_p=0.2).verdict == "unresolved"


def _share(verdict: str, effect: float, *, margin: float, rounds: int = 4000) -> float:
    random = np.random.default_rng(2)
    rows = random.normal(effect, 1, size=(rounds, 8))
    return float(np.mean([judge(row, sign="positive", margin=margin).verdict == verdict for row in rows]))


def test_no_effect_is_seldom_called_one() -> None:
    assert _share("shown", 0.0, margin=0.1) <= 0.035
    assert _share("shown", 1.5, margin=0.1) > 0.9


def test_an_effect_at_the_margin_is_seldom_called_equivalent() -> None:
    assert _share("equivalent", 1.5, margin=1.5) <= 0.06
    assert _share("equivalent", 0.0, margin=1.5) > 0.9
