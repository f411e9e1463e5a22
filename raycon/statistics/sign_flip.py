"""Tests that only flip signs: exact for any symmetric noise, and, over several contrasts, aware of their dependence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raycon.statistics.checks import Numbers, Table, finite_table, paired_differences

EXACT_FLIPS = 16
"""Up to this many differences all 2^n sign patterns are enumerated."""


def sign_flip_p(differences: Numbers, *, generator: np.random.Generator | None = None, flips: int = 100_000) -> float:
    """Two-sided p value of the sign-flip test: the share of sign patterns whose mean is at least as far from zero.

    Source: Fisher, The Design of Experiments (1935). Valid when the differences are symmetric about zero
    under the null hypothesis. All 2^n patterns are counted up to n = 16, so p is exact and at least
    `sign_flip_floor(n)`. For larger n `flips` patterns are drawn from `generator` (by default one seeded with 0) and
    the observed pattern is counted in, (1 + hits) / (1 + flips), which keeps the test valid: Phipson and Smyth, Stat.
    Appl. Genet. Mol. Biol. 9 (2010).

    All differences zero: 1. Raises ValueError for n < 2 or values that are not finite.
    """
    values = paired_differences(differences)
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
    opposite always tie. Other tests, such as Student's t, have no such floor. Raises ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"at least 2 paired differences are needed, got {n}")
    return 2.0 ** (1 - n)


def max_t_p(
    differences: Table, *, generator: np.random.Generator | None = None, flips: int = 20_000
) -> NDArray[np.float64]:
    """Adjusted two-sided p values of several contrasts over the same seeds: step-down max-T by sign flips.

    differences: [n seeds, K contrasts], one row a seed. All contrasts of a seed flip together, so their dependence (a
    common baseline) is kept, which makes the test stronger than Holm's. The statistic is the studentised mean. Source:
    Westfall and Young, Resampling-Based Multiple Testing (1993), algorithm 4.1 (step-down minP in its max-T form).

    Valid when a seed's differences are jointly symmetric about zero under the null hypotheses. All 2^(n-1) patterns are
    counted up to n = 16, else `flips` drawn ones and the observed (generator: by default one seeded with 0). No p is
    below `sign_flip_floor(n)`. A contrast whose differences are all zero has p = 1. Raises ValueError for n < 2 or
    numbers that are not finite.
    """
    table = finite_table(differences, "differences")
    n, contrasts = table.shape
    if n < 2:
        raise ValueError(f"at least 2 seeds are needed, got {n}")
    signs = _sign_patterns(n, generator, flips)
    observed = _studentised(np.ones((1, n)), table)[0]
    flipped = _studentised(signs, table)
    order = np.argsort(-observed, kind="stable")
    # The largest statistic is compared with the largest of all, the next with the largest of those left.
    largest = np.maximum.accumulate(flipped[:, order][:, ::-1], axis=1)[:, ::-1]
    share = np.mean(largest >= observed[order] * (1 - 1e-12), axis=0)
    adjusted = np.empty(contrasts)
    adjusted[order] = np.maximum.accumulate(share)
    adjusted[observed == 0] = 1.0
    return adjusted


def _sign_patterns(n: int, generator: np.random.Generator | None, flips: int) -> NDArray[np.float64]:
    """All sign patterns whose first sign is plus (opposite patterns tie), or drawn ones, the plain one first."""
    if n <= EXACT_FLIPS:
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1)[None, :] & 1
        return np.concatenate([np.ones((len(bits), 1)), 1.0 - 2.0 * bits], axis=1)
    random = np.random.default_rng(0) if generator is None else generator
    drawn = random.integers(0, 2, size=(flips, n)) * 2.0 - 1.0
    return np.concatenate([np.ones((1, n)), drawn])


def _studentised(signs: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """|t| of every contrast under every sign pattern: [patterns, K]. The sum of squares does not change under flips, so
    the variance follows from the mean. A contrast without any noise counts as the largest finite number."""
    n = len(table)
    means = signs @ table / n
    squares = (table**2).mean(axis=0)
    spread = np.maximum(squares - means**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.abs(means) / np.sqrt(spread / (n - 1))
    exact = spread <= 1e-14 * squares
    return np.where(exact, np.where(np.abs(means) > 0, np.finfo(np.float64).max, 0.0), value)
