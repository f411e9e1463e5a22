"""The verdict of the number-of-negatives study: by hand, at its edges, and under the null hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import negatives_verdict


def test_the_verdict_by_hand() -> None:
    scores = {1: [0.50, 0.52], 4: [0.70, 0.74], 16: [0.60, 0.62]}
    found = negatives_verdict(scores)
    pooled = (0.01**2 * 2 + 0.02**2 * 2 + 0.01**2 * 2) / 3
    assert (found.best, found.largest) == (4, 16)
    assert found.drop == pytest.approx(0.11)
    assert found.standard_error == pytest.approx(float(np.sqrt(pooled)))
    line = stats.linregress([0, 0, 2, 2, 4, 4], [0.50, 0.52, 0.70, 0.74, 0.60, 0.62])
    assert found.slope == pytest.approx(line.slope)
    assert found.hurts and not negatives_verdict({**scores, 16: [0.69, 0.72]}).hurts


def test_numbers_may_have_different_counts_of_seeds() -> None:
    found = negatives_verdict({2: [0.8, 0.9, 1.0], 8: [0.5, 0.7]})
    pooled = (0.1**2 * 2 + 0.1**2 * 2) / 3
    assert found.standard_error == pytest.approx(float(np.sqrt(pooled * (1 / 3 + 1 / 2))))


def test_without_a_drop_there_is_no_evidence() -> None:
    rising = negatives_verdict({1: [0.1, 0.2], 2: [0.2, 0.3], 64: [0.6, 0.5]})
    assert (rising.best, rising.drop, rising.hurts) == (64, 0.0, False) and rising.slope > 0


def test_it_rarely_blames_negatives_that_do_nothing() -> None:
    """Two numbers: the drop exceeds 2 standard errors about as often as a normal number exceeds 2, which is 2.3 %."""
    noise = np.random.default_rng(0).normal(size=(2000, 2, 20))
    blamed = np.mean([negatives_verdict({1: few, 8: many}).hurts for few, many in noise])
    assert 0.015 < blamed < 0.04


@pytest.mark.parametrize(
    "scores",
    [{}, {4: [0.1, 0.2]}, {0: [0.1, 0.2], 1: [0.1, 0.2]}, {1: [0.1], 2: [0.1, 0.2]}, {1: [0.1, 0.2], 2: [0.1, np.inf]}],
)
def test_too_few_or_broken_scores_are_refused(scores: dict[int, list[float]]) -> None:
    with pytest.raises(ValueError, match="negatives"):
        negatives_verdict(scores)
