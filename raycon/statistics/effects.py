"""What a component does, from the scores of arms with and without it. One number a seed, so that any test can follow.

An arm is the set of components that are on. `scores` maps arms to the scores of the same seeds in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from raycon.statistics.checks import Numbers

Arm = frozenset[str]
Scores = Mapping[Arm, Numbers]
Row = NDArray[np.float64]


def leave_one_out(scores: Scores, component: str, full: Arm) -> Row:
    """V(N) - V(N without i) for each seed: what the full method loses with the component.

    Raises ValueError for an arm that is missing, seeds that differ in number, or a component that `full` lacks.
    """
    if component not in full:
        raise ValueError(f"{component!r} is not a part of the full arm")
    return _scores(scores, full) - _scores(scores, full - {component})


def add_one_in(scores: Scores, component: str, base: Arm = frozenset()) -> Row:
    """V(base with i) - V(base) for each seed. Raises ValueError as `leave_one_out`."""
    if component in base:
        raise ValueError(f"{component!r} is a part of the base already")
    return _scores(scores, base | {component}) - _scores(scores, base)


def interaction(scores: Scores, first: str, second: str, given: Arm = frozenset()) -> Row:
    """V(ij) - V(i) - V(j) + V(neither) for each seed, with `given` on in all four arms: what two components do together
    beyond the sum of what each does alone. Positive: each needs the other. Raises ValueError as `leave_one_out`."""
    if first == second or {first, second} & given:
        raise ValueError(f"an interaction needs two components outside of {sorted(given)}, got {first!r}, {second!r}")
    with_both, neither = _scores(scores, given | {first, second}), _scores(scores, given)
    return with_both - _scores(scores, given | {first}) - _scores(scores, given | {second}) + neither


def factorial_effect(scores: Scores, components: Iterable[str], of: Iterable[str]) -> Row:
    """The effect of the set `of` in a two-level design over `components`, from every arm that ran, for each seed.

    The mean over arms in which an even number of `of` is off, less the mean over the others: for one component its
    main effect averaged over all settings of the rest, for two half of their interaction contrast. Source: Box, Hunter
    and Hunter, Statistics for Experimenters (1978), chapter 10. In a fraction of the design an effect is aliased with
    others; which, the plan says. Raises ValueError for an empty `of`, one outside of the components, or if one of the
    two halves has no arm.
    """
    names, chosen = frozenset(components), frozenset(of)
    if not chosen or not chosen <= names:
        raise ValueError(f"an effect is of one or more of {sorted(names)}, got {sorted(chosen)}")
    halves: dict[int, list[Row]] = {0: [], 1: []}
    for arm in scores:
        halves[len(chosen - arm) % 2].append(_scores(scores, arm))
    if not halves[0] or not halves[1]:
        raise ValueError(f"the arms do not vary {sorted(chosen)}")
    upper, lower = (np.mean(halves[side], axis=0) for side in (0, 1))
    return np.asarray(upper - lower, dtype=np.float64)


def shapley(scores: Scores, component: str, full: Arm) -> Row:
    """The component's share of V(N) - V(nothing) for each seed, averaged over all orders in which components are added:
    sum over A without i of |A|! (k - |A| - 1)! / k! (V(A with i) - V(A)).

    Source: Shapley, A value for n-person games (1953). The shares of all components add up to the whole. All 2^k arms
    are needed. Raises ValueError as `leave_one_out`.
    """
    if component not in full:
        raise ValueError(f"{component!r} is not a part of the full arm")
    others, k = sorted(full - {component}), len(full)
    total = np.zeros_like(_scores(scores, full))
    for size in range(k):
        weight = factorial(size) * factorial(k - size - 1) / factorial(k)
        for chosen in combinations(others, size):
            arm = frozenset(chosen)
            total += weight * (_scores(scores, arm | {component}) - _scores(scores, arm))
    return total


def _scores(scores: Scores, arm: Arm) -> Row:
    if arm not in scores:
        raise ValueError(f"no scores of the arm {{{', '.join(sorted(arm))}}}")
    row = np.asarray(scores[arm], dtype=np.float64)
    lengths = {len(found) for found in scores.values()}
    if row.ndim != 1 or lengths != {row.size} or not np.all(np.isfinite(row)):
        raise ValueError("every arm needs one finite score for each of the same seeds")
    return row
