"""Intervals: of a mean over paired seeds, of a share, and of the result that a rerun will have.

With a handful of seeds bootstrap percentiles and the normal quantile are too narrow (about 84 % and 85 % coverage at
five seeds instead of 95 %), so intervals of means use Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from raycon.statistics.checks import Numbers, check_rate, paired_differences


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval. `sd` is the standard deviation of the values with ddof = 1; `method` is the
    sentence that belongs beside the printed interval."""

    mean: float
    low: float
    high: float
    n: int
    sd: float
    confidence: float
    method: str


def paired_interval(differences: Numbers, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean of paired differences: mean +- t[(1 + confidence) / 2, n - 1] * sd / sqrt(n).

    Source: Student, The probable error of a mean, Biometrika 6 (1908). Exact for normal differences; skewness makes it
    too narrow at small n. n equal differences give an interval of width zero, which says that they were equal and not
    that the next one will be. Raises ValueError for n < 2, values that are not finite, or confidence outside (0, 1).
    """
    values = paired_differences(differences)
    check_rate(confidence)
    n = values.size
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * sd / np.sqrt(n)
    method = f"{confidence:.0%} paired t interval, n = {n}"
    return Interval(mean, float(mean - half), float(mean + half), n, sd, confidence, method)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval (low, high) of a share, for example of a group's accuracy.

    Source: Clopper and Pearson, Biometrika 26 (1934), in its beta form: the (1 - confidence) / 2 quantile of
    Beta(k, n - k + 1) and the (1 + confidence) / 2 quantile of Beta(k + 1, n - k). Coverage is never below
    `confidence`; it holds over draws of images, not over training runs. For G groups at once give 1 - alpha / G.

    No trials: (0, 1). No success: low is 0; all successes: high is 1. Raises ValueError unless 0 <= successes <= trials
    and confidence lies in (0, 1).
    """
    check_rate(confidence)
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in 0..{trials}, got {successes}")
    tail, failures = (1 - confidence) / 2, trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def mean_share_interval(
    successes: Sequence[int], trials: Sequence[int], confidence: float = 0.95
) -> tuple[float, float]:
    """The interval (low, high) of the mean of the shares of several groups, each counting the same, for example of the
    mean accuracy over groups.

    The distance of each share to the ends of its Clopper-Pearson interval stands for its spread; squared distances add
    up as variances do, on either side by themselves (variance estimates recovered from intervals). It holds over draws
    of images. One group: its Clopper-Pearson interval. Raises ValueError for no group, a group without trials, or as
    `clopper_pearson`.
    """
    if not trials or len(successes) != len(trials) or min(trials) < 1:
        raise ValueError(f"needs successes and trials of the same groups, none empty, got {list(trials)}")
    shares = np.array(successes) / np.array(trials)
    ends = np.array([clopper_pearson(right, size, confidence) for right, size in zip(successes, trials, strict=True)])
    below, above = (float(np.sqrt(np.square(ends[:, side] - shares).sum())) / len(shares) for side in (0, 1))
    mean = float(shares.mean())
    return max(0.0, mean - below), min(1.0, mean + above)


def prediction_interval(values: Numbers, further: int = 1, confidence: float = 0.95) -> tuple[float, float]:
    """Where the mean of `further` new runs will lie: mean +- t[(1 + confidence) / 2, n - 1] sd sqrt(1/n + 1/further).

    Source: Spence and Stanley, Prediction interval: what to expect when you're expecting a replication, PLoS ONE 11
    (2016); the t form for normal data. A replication outside of it speaks against the same population. Equal values
    give a width of zero. Raises ValueError for n < 2, values that are not finite, further < 1, or confidence outside
    (0, 1).
    """
    numbers = paired_differences(values)
    check_rate(confidence)
    if further < 1:
        raise ValueError(f"at least 1 further run is needed, got {further}")
    n = numbers.size
    quantile = float(special.stdtrit(n - 1, (1 + confidence) / 2))
    half = quantile * float(numbers.std(ddof=1)) * float(np.sqrt(1 / n + 1 / further))
    return float(numbers.mean()) - half, float(numbers.mean()) + half
