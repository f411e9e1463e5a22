"""Effects of components against hand counts, and their recovery from planted ones."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import (
    add_one_in,
    factorial_effect,
    holm,
    interaction,
    leave_one_out,
    shapley,
)

ALL = ("a", "b", "c")


def _arms(components: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(chosen) for size in range(len(components) + 1) for chosen in combinations(components, size)]


def _planted(seeds: int, random: np.random.Generator, *, noise: float) -> dict[frozenset[str], np.ndarray]:
    """a adds 2, c adds nothing, a and b together add 1.5 more; arms of a seed share a part of their noise."""
    shared = random.normal(0, 1.0, size=seeds)
    return {
        arm: 2.0 * ("a" in arm)
        + 1.0 * ("b" in arm)
        + 1.5 * ({"a", "b"} <= arm)
        + shared
        + random.normal(0, noise, size=seeds)
        for arm in _arms(ALL)
    }


def test_effects_of_exact_scores() -> None:
    scores = _planted(4, np.random.default_rng(0), noise=0.0)
    full = frozenset(ALL)
    assert leave_one_out(scores, "a", full) == pytest.approx([3.5] * 4)
    assert leave_one_out(scores, "c", full) == pytest.approx([0.0] * 4)
    assert add_one_in(scores, "a") == pytest.approx([2.0] * 4)
    assert interaction(scores, "a", "b") == pytest.approx([1.5] * 4)
    assert interaction(scores, "a", "b", frozenset("c")) == pytest.approx([1.5] * 4)
    assert factorial_effect(scores, ALL, ["a"]) == pytest.approx([2.75] * 4)
    assert factorial_effect(scores, ALL, ["a", "b"]) == pytest.approx([0.75] * 4)
    assert factorial_effect(scores, ALL, ["a", "b", "c"]) == pytest.approx([0.0] * 4)


def test_shapley_is_the_mean_over_orders_and_adds_up() -> None:
    scores = _planted(3, np.random.default_rng(1), noise=0.5)
    full = frozenset(ALL)
    for component in ALL:
        orders = list(permutations(ALL))
        gains = []
        for order in orders:
            before = frozenset(order[: order.index(component)])
            gains.append(scores[before | {component}] - scores[before])
        assert shapley(scores, component, full) == pytest.approx(np.mean(gains, axis=0))
    total = sum(shapley(scores, component, full) for component in ALL)
    assert total == pytest.approx(scores[full] - scores[frozenset()])


def test_wrong_questions_are_refused() -> None:
    scores = _planted(3, np.random.default_rng(2), noise=0.1)
    full = frozenset(ALL)
    with pytest.raises(ValueError, match="not a part"):
        leave_one_out(scores, "d", full)
    with pytest.raises(ValueError, match="not a part"):
        shapley(scores, "d", full)
    with pytest.raises(ValueError, match="already"):
        add_one_in(scores, "a", frozenset("a"))
    with pytest.raises(ValueError, match="two components"):
        interaction(scores, "a", "a")
    with pytest.raises(ValueError, match="one or more"):
        factorial_effect(scores, ALL, [])
    with pytest.raises(ValueError, match="do not vary"):
        factorial_effect({full: scores[full]}, ALL, ["a"])
    with pytest.raises(ValueError, match="no scores of the arm"):
        leave_one_out({full: scores[full]}, "a", full)
    with pytest.raises(ValueError, match="same seeds"):
        leave_one_out(scores | {full: [1.0]}, "a", full)


def test_planted_effects_are_recovered_with_the_promised_error_rates() -> None:
    """2^3 studies of 9 seeds, 7 effects under Holm: planted effects are found, others in at most 6 % of studies."""
    studies, seeds = 4000, 9
    effects = [of for size in (1, 2, 3) for of in combinations(ALL, size)]
    real = [("a",), ("b",), ("a", "b")]
    # Effects are made seed by seed, so the seeds of all studies can stand in one long row.
    scores = _planted(studies * seeds, np.random.default_rng(3), noise=0.6)
    rows = {of: factorial_effect(scores, ALL, of).reshape(studies, seeds) for of in effects}
    p = np.stack([stats.ttest_1samp(row, 0.0, axis=1).pvalue for row in rows.values()], axis=1)
    called = [dict(zip(effects, holm(study) <= 0.05, strict=True)) for study in p]
    wrong = np.mean([any(found[of] for of in effects if of not in real) for found in called])
    assert wrong <= 0.06
    assert min(np.mean([found[of] for found in called]) for of in real) > 0.75
