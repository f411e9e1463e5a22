"""The embedding picture: images as dots, coloured by each of several attributes in a panel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raycon.reporting.figures import new_figure, png_bytes
from raycon.reporting.looks import LISTED, legend_of_values, points_by_value, set_heading
from raycon.reporting.projection import Projection
from raycon.seeding import derive_seed

AXES = {"pca": "principal component", "tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True)
class Colouring:
    """One panel: `values` int [n] of the rows in the picture, and the names of all values."""

    title: str
    values: NDArray[Any]
    names: Sequence[str]


def embedding_picture(title: str, projection: Projection, colourings: Sequence[Colouring]) -> bytes:
    """A panel for each colouring of the same dots, as PNG. Raises ValueError for no colouring, or one of other rows."""
    places = projection.places
    if not colourings or any(len(colouring.values) != len(places) for colouring in colourings):
        raise ValueError(f"needs colourings of {len(places)} rows, got {[len(found.values) for found in colourings]}")
    lines = max(_legend_lines(colouring) for colouring in colourings)
    figure, axes = new_figure(1, len(colourings), max(4.4 * len(colourings), 6.4), 4.6 + 0.19 * lines)
    # In an order of their own, as the last of many dots is the one that is seen.
    order = np.random.default_rng(derive_seed(0, "embedding_picture", len(places))).permutation(len(places))
    for axis, colouring in zip(axes, colourings, strict=True):
        values = np.asarray(colouring.values, dtype=np.int64)
        points_by_value(axis, places, values, len(colouring.names), order)
        axis.set_title(colouring.title, fontsize=9)
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_xlabel(_axis_label(projection, 0), fontsize=8)
        if projection.method != "pca":
            axis.set_xticks([])
            axis.set_yticks([])
        present = np.unique(values).tolist()
        if len(present) <= LISTED:
            legend_of_values(axis, colouring.names, present, _columns(colouring))
    axes[0].set_ylabel(_axis_label(projection, 1), fontsize=8)
    set_heading(figure, title)
    return png_bytes(figure)


def _axis_label(projection: Projection, number: int) -> str:
    label = f"{AXES[projection.method]} {number + 1}"
    return label if projection.shares is None else f"{label} ({projection.shares[number]:.0%} of the variance)"


def _columns(colouring: Colouring) -> int:
    """As many as fit below a panel."""
    longest = max(len(name) for name in colouring.names)
    return max(1, min(len(colouring.names), 76 // (longest + 5)))


def _legend_lines(colouring: Colouring) -> int:
    count = len(colouring.names)
    return -(-count // _columns(colouring)) if count <= LISTED else 0
