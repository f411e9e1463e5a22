"""The corners of a space: values that together take every number to both ends and every choice to each option."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from raycon.errors import InvalidFile
from raycon.space.holes import GOLDEN, Hole, Scalar
from raycon.space.tree import Tree, Values

MOST_COMBINATIONS = 32
TRIES = 300


class NeverAsked(InvalidFile):
    """A hole whose conditions never hold together; its path is `field`."""


def corner_values(tree: Tree) -> list[Values]:
    """Values of the corners. The first has every number low and every choice at its first option.

    All combinations of choices come in, up to 32 of them, each with all numbers low, high and at an inner point; beyond
    that, every end and option that is still missing comes in once. Raises NeverAsked.
    """
    found: list[Values] = []
    for picks in _combinations(tree):
        for share in (0.0, 1.0, GOLDEN):
            values = tree.choose(partial(_answer, picks, share))
            if values not in found:
                found.append(values)
    covered = {(path, _key(value)) for values in found for path, value in values.items()}
    dice = random.Random(0)
    for path, hole in tree.holes.items():
        for wanted in hole.extremes():
            if (path, _key(wanted)) not in covered:
                values = _search(tree, path, wanted, dice)
                covered |= {(p, _key(value)) for p, value in values.items()}
                found.append(values)
    return found


def _key(value: Scalar) -> tuple[str, Any]:
    return type(value).__name__, value


def _answer(picks: Mapping[str, Scalar], share: float, path: str, hole: Hole) -> Scalar:
    """The picked option of a choice; of a number, the value that lies `share` of the way."""
    if hole.kind == "choice":
        return picks[path]
    low, high = hole.bounds()
    return low if share == 0 else high if share == 1 else hole.inner(share)


def _combinations(tree: Tree) -> Iterator[dict[str, Scalar]]:
    """Every combination of the choices that are asked, the last choice changing fastest, up to the limit."""
    prefix: list[int] = []
    for _ in range(MOST_COMBINATIONS):
        picker = _Picker(prefix)
        tree.choose(picker)
        yield picker.picks
        asked = picker.asked
        while asked and asked[-1][0] + 1 >= asked[-1][1]:
            asked.pop()
        if not asked:
            return
        prefix = [index for index, _ in asked]
        prefix[-1] += 1


class _Picker:
    """Answers the choices, in the order in which they are asked, by the indices in `prefix`, then by first options."""

    def __init__(self, prefix: list[int]):
        self.prefix = prefix
        self.asked: list[tuple[int, int]] = []
        self.picks: dict[str, Scalar] = {}

    def __call__(self, path: str, hole: Hole) -> Scalar:
        if hole.kind != "choice":
            return hole.bounds()[0]
        index = self.prefix[len(self.asked)] if len(self.asked) < len(self.prefix) else 0
        self.asked.append((index, len(hole.options)))
        self.picks[path] = hole.options[index]
        return self.picks[path]


def _search(tree: Tree, path: str, wanted: Scalar, dice: random.Random) -> Values:
    """Values in which the hole at `path` is asked and has the value `wanted`."""
    for _ in range(TRIES):
        values = tree.choose(lambda p, hole: wanted if p == path else dice.choice(hole.extremes()))
        if path in values:
            return values
    raise NeverAsked("is never asked: its conditions never hold together", field=path)
