"""Do more negatives hurt? The verdict of the number-of-negatives study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raycon.statistics.checks import Numbers


@dataclass(frozen=True)
class NegativesVerdict:
    """Whether more negatives hurt. `best` and `largest` are numbers of negatives; `drop` is the mean score at `best`
    less that at `largest`, with its `standard_error`; `slope` is what a doubling adds to the score (least squares)."""

    best: int
    largest: int
    drop: float
    standard_error: float
    slope: float
    hurts: bool


def negatives_verdict(scores: Mapping[int, Numbers]) -> NegativesVerdict:
    """From the number of negatives to the scores of its seeds; higher scores are better.

    More negatives hurt if the best mean exceeds the mean at the largest number by more than 2 standard errors of that
    difference, s sqrt(1 / n_best + 1 / n_largest), s^2 the variance within a number, pooled over all numbers. Otherwise
    there is no evidence. The rule is ours, and it leans towards `hurts`: the best of many numbers is best by luck as
    well, so that a close verdict wants fresh seeds.

    The largest number is the best: drop 0. Raises ValueError for fewer than 2 numbers, a number below 1 or with fewer
    than 2 scores, and scores that are not finite.
    """
    if len(scores) < 2 or min(scores) < 1:
        raise ValueError(f"at least 2 numbers of negatives from 1 on are needed, got {sorted(scores)}")
    values = {count: np.asarray(found, dtype=np.float64) for count, found in scores.items()}
    if any(found.ndim != 1 or found.size < 2 or not np.all(np.isfinite(found)) for found in values.values()):
        raise ValueError("at least 2 finite scores in one row are needed for each number of negatives")
    means = {count: float(found.mean()) for count, found in values.items()}
    best, largest = max(means, key=lambda count: means[count]), max(means)
    freedom = sum(found.size - 1 for found in values.values())
    pooled = sum(float(np.square(found - found.mean()).sum()) for found in values.values()) / freedom
    error = float(np.sqrt(pooled * (1 / values[best].size + 1 / values[largest].size)))
    doublings = np.concatenate([np.full(found.size, np.log2(count)) for count, found in values.items()])
    slope = float(np.polyfit(doublings, np.concatenate(list(values.values())), 1)[0])
    drop = means[best] - means[largest]
    return NegativesVerdict(best, largest, drop, error, slope, drop > 2 * error)
