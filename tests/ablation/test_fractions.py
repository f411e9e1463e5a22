"""Fractional designs against textbook ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from raycon.ablation.fractions import smallest_fraction


@pytest.mark.parametrize(
    ("components", "resolution", "arms"),
    [(3, 3, 4), (4, 4, 8), (5, 3, 8), (5, 5, 16), (6, 4, 16), (7, 3, 8), (8, 4, 16), (8, 5, 64), (10, 4, 32)],
)
def test_the_sizes_are_the_textbooks(components: int, resolution: int, arms: int) -> None:
    found = smallest_fraction([f"c{i}" for i in range(components)], resolution)
    assert len(found.arms) == len(set(found.arms)) == arms
    assert found.resolution >= resolution


@pytest.mark.parametrize("components", [4, 6, 7])
@pytest.mark.parametrize("resolution", [3, 4, 5])
def test_what_is_said_to_be_clear_is_orthogonal(components: int, resolution: int) -> None:
    names = [f"c{i}" for i in range(components)]
    found = smallest_fraction(names, resolution)
    assert frozenset(names) in found.arms
    columns = {
        of: np.array([np.prod([1 if name in arm else -1 for name in of]) for arm in found.arms])
        for size in (1, 2)
        for of in combinations(names, size)
    }
    for of, column in columns.items():
        assert column.sum() == 0
        same = {other for other, values in columns.items() if other != of and abs(values @ column) == len(found.arms)}
        assert set(found.aliases[of]) == same
        if len(of) == 1:
            assert not any(len(other) < found.resolution - 1 for other in same)


def test_no_fraction_is_the_whole_design() -> None:
    found = smallest_fraction(["a", "b", "c"], 5)
    assert len(found.arms) == 8 and found.resolution == 4 and not found.generators
    with pytest.raises(ValueError, match="at least 3"):
        smallest_fraction(["a", "b"], 3)
