"""Successive halving that does not depend on timing: a run is compared only with runs whose results are all known.

The asynchronous rule of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA, algorithm 2), lets a
run go on when it is in the best 1/reduction of those that have reached its rung *so far*, so its decisions depend on
which run was faster. Here a run with number i is compared with the runs numbered up to i - 1 - lag: all of them have
ended before run i began, so the decision is the same on one slot as on many, and after any interruption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def rungs(after: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """The epochs after which a run may be stopped: after * reduction**k, below `epochs` (the full budget)."""
    if after < 1 or reduction < 2:
        raise ValueError(f"rungs need after >= 1 and reduction >= 2, not {after} and {reduction}")
    found = []
    rung = after
    while rung < epochs:
        found.append(rung)
        rung *= reduction
    return tuple(found)


def value_at(rung: int, values: Mapping[int, float]) -> float | None:
    """The newest finite value at or before epoch `rung` (`values` maps epochs to values); None where there is none.
    A rung need not be an epoch at which scores were due."""
    known = [epoch for epoch, value in values.items() if epoch <= rung and math.isfinite(value)]
    return values[max(known)] if known else None


def goes_on(own: float, earlier: Sequence[float], reduction: int, *, higher_is_better: bool) -> bool:
    """Whether `own` is in the best 1/reduction of itself and the `earlier` values of the same rung.

    With fewer than `reduction` values in all, every run goes on. Equal values share the better place.
    """
    count = len(earlier) + 1
    if count < reduction:
        return True
    better = sum(value > own if higher_is_better else value < own for value in earlier)
    return better < max(1, count // reduction)
