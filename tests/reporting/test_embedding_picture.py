"""The embedding picture: a panel a colouring, every value in its colour, the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest

from raycon.reporting.embedding_picture import Colouring, embedding_picture
from raycon.reporting.looks import COLOURS, LISTED, MARKS, colour_and_mark
from raycon.reporting.projection import Projection
from tests.reporting.images import has_colour, is_drawn, pixels

PLACES = np.random.default_rng(0).normal(size=(60, 2))
FLAT = Projection(PLACES, "pca", (0.5, 0.25))


def _colouring(count: int, title: str = "fine") -> Colouring:
    return Colouring(title, np.arange(60) % count, [f"value {number}" for number in range(count)])


def test_looks_are_distinct_as_long_as_they_can_be() -> None:
    for count in (1, 6, 7, 8, 10, 20, 50):
        assert len({colour_and_mark(value, count) for value in range(count)}) == count
    assert len({colour_and_mark(value, 10)[1] for value in range(10)}) == len(MARKS)
    assert {colour_and_mark(value, 6)[1] for value in range(6)} == {"o"}


@pytest.mark.parametrize("counts", [(2,), (10, 2), (8, 3, 4), (45,)])
def test_every_value_is_drawn(counts: tuple[int, ...]) -> None:
    drawn = embedding_picture("a title", FLAT, [_colouring(count) for count in counts])
    assert is_drawn(drawn)
    if counts[0] <= LISTED:  # the legend has the full colours
        colours = COLOURS[next(size for size in COLOURS if counts[0] <= size)]
        assert all(has_colour(drawn, colour) for colour in colours[: counts[0]])


def test_the_same_numbers_give_the_same_bytes() -> None:
    first = embedding_picture("a title", FLAT, [_colouring(3)])
    assert embedding_picture("a title", FLAT, [_colouring(3)]) == first
    moved = Projection(PLACES + [[0.5, 0]] * np.arange(60)[:, None], "pca", (0.5, 0.25))
    assert embedding_picture("a title", moved, [_colouring(3)]) != first


def test_long_titles_and_names_stay_on_the_sheet() -> None:
    names = ["a" * 30, "b" * 30]
    colouring = Colouring("t", np.arange(60) % 2, names)
    drawn = pixels(embedding_picture("word " * 80, Projection(PLACES, "tsne"), [colouring]))
    assert (drawn[:, :2] == 255).all() and (drawn[:, -2:] == 255).all()


def test_colourings_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="needs colourings of 60 rows"):
        embedding_picture("t", FLAT, [Colouring("c", np.zeros(59, dtype=int), ["a"])])
    with pytest.raises(ValueError, match="needs colourings"):
        embedding_picture("t", FLAT, [])
