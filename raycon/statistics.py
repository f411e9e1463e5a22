"""Intervals and tests for a handful of paired seeds. numpy and scipy only, no torch.

The unit of resampling is the training run: one difference per seed, both arms trained with that seed. With so few of
them, bootstrap percentiles and the normal quantile are too narrow (about 84 % and 85 % coverage at five seeds instead
of 95 %), so intervals use Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

EXACT_FLIPS = 16
"""Up to this many differences all 2^n sign patterns are enumerated."""

Numbers = Sequence[float] | NDArray[np.floating]


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
    values = _differences(differences)
    _check_confidence(confidence)
    n = values.size
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * sd / np.sqrt(n)
    method = f"{confidence:.0%} paired t interval, n = {n}"
    return Interval(mean, float(mean - half), float(mean + half), n, sd, confidence, method)


def sign_flip_p(differences: Numbers, *, generator: np.random.Generator | None = None, flips: int = 100_000) -> float:
    """Two-sided p value of the sign-flip test: the share of sign patterns whose mean is at least as far from zero.

    Source: Fisher, The Design of Experiments (1935). Valid when the differences are symmetric about zero
    under the null hypothesis. All 2^n patterns are counted up to n = 16, so p is exact and at least
    `sign_flip_floor(n)`. For larger n `flips` patterns are drawn from `generator` (by default one seeded with 0) and
    the observed pattern is counted in, (1 + hits) / (1 + flips), which keeps the test valid: Phipson and Smyth, Stat.
    Appl. Genet. Mol. Biol. 9 (2010).

    All differences zero: 1. Raises ValueError for n < 2 or values that are not finite.
    """
    values = _differences(differences)
    n = values.size
    # Patterns with equal sums may differ in the last bits; the slack keeps them on the side of "as far".
    threshold = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if n <= EXACT_FLIPS:
        # A pattern and its opposite have the same distance: half of them, with the first sign fixed, is enough.
        sums = values[:1]
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= threshold))
    random = np.random.default_rng(0) if generator is None else generator
    hits, left = 0, flips
    while left > 0:
        rows = min(left, 1 + 4_000_000 // n)
        signs = random.integers(0, 2, size=(rows, n), dtype=np.int8) * 2.0 - 1.0
        hits += int(np.count_nonzero(np.abs(signs @ values) >= threshold))
        left -= rows
    return (1 + hits) / (1 + flips)


def sign_flip_floor(n: int) -> float:
    """The smallest p value that the exact sign-flip test can give with n differences: 2^(1 - n), as a pattern and its
    opposite always tie. Below it nothing can be shown. Raises ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"at least 2 paired differences are needed, got {n}")
    return 2.0 ** (1 - n)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval (low, high) of a share, for example of a group's accuracy.

    Source: Clopper and Pearson, Biometrika 26 (1934), in its beta form: the (1 - confidence) / 2 quantile of
    Beta(k, n - k + 1) and the (1 + confidence) / 2 quantile of Beta(k + 1, n - k). Coverage is never below
    `confidence`; it holds over draws of images, not over training runs. For G groups at once give 1 - alpha / G.

    No trials: (0, 1). No success: low is 0; all successes: high is 1. Raises ValueError unless 0 <= successes <= trials
    and confidence lies in (0, 1).
    """
    _check_confidence(confidence)
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in 0..{trials}, got {successes}")
    tail, failures = (1 - confidence) / 2, trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def _differences(differences: Numbers) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"at least 2 paired differences in one row are needed, got shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError("differences must be finite")
    return values


def _check_confidence(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"a confidence or error rate lies between 0 and 1, got {value}")
