"""Colours and marks that tell values apart, also for colour-blind readers and on grey paper; headings that fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = {
    6: ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd"),
    8: ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364"),
    10: (
        *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
        *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
    ),
}
"""Petroff 2021 (arXiv 2107.02270): sequences optimised for readers with colour vision deficiencies."""
MARKS = ("o", "^", "s", "D", "v")
FEW = 6
"""Up to so many values colours alone are enough."""
SLICES = 8
LISTED = 40
"""Up to so many values stand in a legend; of more, nobody could find one again."""


def colour_and_mark(value: int, count: int) -> tuple[str, str]:
    """The look of one of `count` values: with more than six, marks differ too. From the 51st on, looks repeat."""
    colours = next((COLOURS[size] for size in COLOURS if count <= size), COLOURS[10])
    # The marks shift by one with every round of colours, so that each round has pairs of its own.
    mark = 0 if count <= FEW else (value + value // len(colours)) % len(MARKS)
    return colours[value % len(colours)], MARKS[mark]


def points_by_value(
    axis: Axes, places: NDArray[np.float64], values: NDArray[np.int64], count: int, order: NDArray[np.int64]
) -> None:
    """A dot for each row of `places` [n, 2], drawn in the order `order` of the rows, so that no value hides another."""
    looks = [colour_and_mark(value, count) for value in range(count)]
    marks = list(dict.fromkeys(mark for _, mark in looks))
    # One call draws one mark: in slices, so that none of them lies on top of all the others.
    for rows in np.array_split(order, SLICES if len(marks) > 1 else 1):
        for mark in marks:
            own = [row for row in rows if looks[values[row]][1] == mark]
            colours = [looks[values[row]][0] for row in own]
            across, up = places[own, 0], places[own, 1]
            axis.scatter(across, up, s=11, c=colours, marker=mark, alpha=0.65, linewidths=0)


def legend_of_values(axis: Axes, names: Sequence[str], present: Sequence[int], columns: int) -> None:
    """Below the axis, for the values of `present`, where it can cover no dot."""
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    for value in present:
        colour, mark = colour_and_mark(value, len(names))
        handles.append(Line2D([], [], color=colour, marker=mark, linestyle="", markersize=5, label=names[value]))
    axis.legend(
        handles=handles,
        fontsize=7.5,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncols=columns,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.0,
    )


def set_heading(figure: Figure, text: str) -> None:
    """Above all panels, each of its lines broken where the figure ends."""
    width = int(11 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, width) for line in text.splitlines()), fontsize=9.5)
