"""What a search may be expected to find with a smaller budget."""

from __future__ import annotations

from math import comb

import numpy as np

from raycon.statistics.checks import Numbers


def expected_best(values: Numbers, n: int) -> float:
    """The expected best of n random-search trials, from B >= n trials drawn independently: the mean of the maximum over
    all sets of n of them, sum over i = n..B of C(i - 1, n - 1) / C(B, n) v_(i), v sorted upwards.

    Unbiased, where the plug-in of Dodge et al. 2019 (arXiv 1909.03004) is too low: Tang et al. 2020 (arXiv 2004.13705).
    Trials of a search that learns (TPE, successive halving) are not independent: repeat the whole search instead.
    Raises ValueError for n outside 1..B, or values that are not finite.
    """
    row = np.sort(np.asarray(values, dtype=np.float64))
    if row.ndim != 1 or not np.all(np.isfinite(row)):
        raise ValueError("the trials' values must stand in one row and be finite")
    if not 1 <= n <= row.size:
        raise ValueError(f"the best of {n} cannot be told from {row.size} trials")
    weights = [comb(i - 1, n - 1) / comb(row.size, n) for i in range(n, row.size + 1)]
    return float(np.dot(weights, row[n - 1 :]))
