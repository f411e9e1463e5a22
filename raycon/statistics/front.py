"""A Pareto front of noisy scores: how surely a run is on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raycon.statistics.checks import Table, check_rate, finite_table

LEAST_FREEDOM = 4
"""Fewer degrees of freedom say nothing about the noise: its standard deviation would be uncertain by a factor of 2."""
DRAWS = 2000


def noise_covariance(groups: list[Table]) -> tuple[NDArray[np.float64], int]:
    """The covariance [K, K] between seeds of K scores, pooled within groups, and its degrees of freedom.

    groups: one table [seeds, K] for each configuration; each loses one degree of freedom to its mean. Raises ValueError
    for tables of different widths, scores that are not finite, or fewer than LEAST_FREEDOM degrees of freedom.
    """
    tables = [finite_table(group, "scores") for group in groups]
    freedom = sum(len(table) - 1 for table in tables)
    if len({table.shape[1] for table in tables}) > 1:
        raise ValueError("every configuration needs the same scores")
    if freedom < LEAST_FREEDOM:
        raise ValueError(f"{freedom} degrees of freedom are too few to know the noise; it takes {LEAST_FREEDOM}")
    centred = np.concatenate([table - table.mean(axis=0) for table in tables])
    return centred.T @ centred / freedom, freedom


def drawn_means(
    points: Table, covariance: NDArray[np.float64], freedom: int, *, generator: np.random.Generator, draws: int = DRAWS
) -> NDArray[np.float64]:
    """Where the true means of R runs may lie, [draws, R, K]: each run's scores plus noise of the given covariance,
    drawn for every run by itself, and in every draw scaled as Student's t with `freedom` degrees has it.

    With a flat prior this is what one observed run says of its configuration's mean. That the best of many observed
    runs are partly lucky is not taken off, so the ends of a front look surer than they are. Raises ValueError for
    points that are not finite.
    """
    table = finite_table(points, "points")
    spread, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(spread, 0.0))
    noise = generator.standard_normal((draws, *table.shape)) @ root.T
    scale = np.sqrt(freedom / generator.chisquare(freedom, size=(draws, 1, 1)))
    return np.asarray(table + noise * scale, dtype=np.float64)


def on_front(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of R points of every draw is beaten by no other, more of every score being better: [draws, R]."""
    beaten = np.zeros(points.shape[:2], dtype=np.bool_)
    for other in range(points.shape[1]):
        rival = points[:, other : other + 1]
        beaten |= np.all(rival >= points, axis=2) & np.any(rival > points, axis=2)
    return ~beaten


def attained(drawn: NDArray[np.float64], across: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The attainment curve of two scores: for each value of the first in `across`, the value of the second that a run
    reaches, with at least that much of the first, in `share` of the draws [draws, R, 2]; -inf where fewer draws have
    any such run.

    Source: Grunert da Fonseca, Fonseca and Hall, EMO 2001 (empirical attainment functions). Raises ValueError for a
    share outside (0, 1).
    """
    check_rate(share)
    curve = []
    for least in across:
        reached = np.where(drawn[:, :, 0] >= least, drawn[:, :, 1], -np.inf).max(axis=1)
        curve.append(np.quantile(reached, 1 - share, method="lower"))
    return np.array(curve)
