"""Holm, max-T and Benjamini-Hochberg against enumeration, and simulations of their error rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from raycon.statistics import benjamini_hochberg, holm, max_t_p, paired_t_p, sign_flip_floor, sign_flip_p


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_holm_rejects_what_the_definition_rejects() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        p = random.uniform(0, 0.05, size=random.integers(1, 8))
        rejected = set()
        for k, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (len(p) - k):
                break
            rejected.add(int(index))
        assert {i for i, value in enumerate(holm(p)) if value <= 0.05} == rejected


def test_benjamini_hochberg_equals_scipy() -> None:
    p = np.random.default_rng(2).uniform(size=12)
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


@pytest.mark.parametrize("function", [holm, benjamini_hochberg])
@pytest.mark.parametrize("wrong", [[], [0.1, 1.2], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(function: object, wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="p values"):
        function(wrong)  # type: ignore[operator]  # parametrised


def _slow_max_t(table: np.ndarray) -> list[float]:
    """Step-down max-T from its definition, over all 2^n patterns."""

    def statistic(column: np.ndarray) -> float:
        return float(abs(column.mean()) / (column.std(ddof=1) / np.sqrt(len(column))))

    observed = [statistic(column) for column in table.T]
    order = sorted(range(len(observed)), key=lambda k: -observed[k])
    counts = np.zeros(len(observed))
    patterns = list(itertools.product([1, -1], repeat=len(table)))
    for signs in patterns:
        flipped = [statistic(column * signs) for column in table.T]
        for place, k in enumerate(order):
            counts[k] += max(flipped[j] for j in order[place:]) >= observed[k] - 1e-9
    adjusted = counts / len(patterns)
    for before, after in itertools.pairwise(order):
        adjusted[after] = max(adjusted[after], adjusted[before])
    return list(adjusted)


def test_max_t_equals_its_definition() -> None:
    random = np.random.default_rng(3)
    for _ in range(5):
        table = random.normal(size=(6, 3)) + np.array([0.0, 1.0, 2.0])
        assert max_t_p(table) == pytest.approx(_slow_max_t(table))


def test_max_t_of_one_contrast_is_the_sign_flip_test() -> None:
    differences = np.random.default_rng(4).normal(0.5, 1, size=9)
    assert max_t_p(differences[:, None])[0] == pytest.approx(sign_flip_p(differences))
    assert max_t_p(np.ones((6, 2)))[0] == sign_flip_floor(6)
    assert max_t_p(np.zeros((6, 2)))[0] == 1.0


def test_max_t_refuses_one_seed() -> None:
    with pytest.raises(ValueError, match="2 seeds"):
        max_t_p([[0.1, 0.2]])


def _family_wise(correct: str, *, seeds: int, rounds: int) -> float:
    """How often at least one of 7 contrasts against a common baseline is called, with no effect anywhere."""
    random = np.random.default_rng(5)
    wrong = 0
    for _ in range(rounds):
        table = random.normal(size=(seeds, 7)) - random.normal(size=(seeds, 1))
        p = max_t_p(table) if correct == "max_t" else holm([paired_t_p(column) for column in table.T])
        wrong += bool(min(p) <= 0.05)
    return wrong / rounds


def test_the_family_wise_error_is_kept() -> None:
    assert _family_wise("holm", seeds=9, rounds=2000) <= 0.06
    assert 0.025 <= _family_wise("max_t", seeds=9, rounds=1000) <= 0.065


def test_max_t_is_stronger_than_holm_with_a_common_baseline() -> None:
    random = np.random.default_rng(6)
    found = {"holm": 0, "max_t": 0}
    for _ in range(400):
        table = random.normal(size=(12, 5)) * 0.6 - random.normal(size=(12, 1)) + 0.9
        found["holm"] += int((holm([sign_flip_p(column) for column in table.T]) <= 0.05).sum())
        found["max_t"] += int((max_t_p(table) <= 0.05).sum())
    assert found["max_t"] > 1.1 * found["holm"]
