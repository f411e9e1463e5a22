"""p values of several questions at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raycon.statistics.checks import Numbers, p_values


def holm(values: Numbers) -> NDArray[np.float64]:
    """Holm's step-down adjusted p values, in the order given: reject those at most alpha, and the probability of one
    false rejection or more is at most alpha, however the tests depend on one another.

    The k-th smallest of K becomes max over j <= k of (K - j + 1) p_(j), at most 1. Source: Holm, A simple sequentially
    rejective multiple test procedure, Scand. J. Statist. 6 (1979). One p value stays as it is. Raises ValueError for no
    p values or numbers outside 0 to 1.
    """
    row = p_values(values)
    order = np.argsort(row, kind="stable")
    factors = row.size - np.arange(row.size)
    adjusted = np.empty_like(row)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * row[order]), 1.0)
    return adjusted


def benjamini_hochberg(values: Numbers) -> NDArray[np.float64]:
    """Adjusted p values that control the share of false discoveries, for exploration only.

    The k-th smallest of K becomes min over j >= k of K p_(j) / j. Source: Benjamini and Hochberg, J. R. Stat. Soc. B 57
    (1995), valid for independent or positively dependent tests. Raises ValueError as `holm`.
    """
    row = p_values(values)
    order = np.argsort(row, kind="stable")
    ranked = row[order] * row.size / np.arange(1, row.size + 1)
    adjusted = np.empty_like(row)
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return adjusted
