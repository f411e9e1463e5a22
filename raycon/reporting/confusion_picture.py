"""What a linear probe takes for what: confusion matrices, counted and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from raycon.reporting.figures import new_figure, png_bytes, wrapped
from raycon.reporting.looks import set_heading

WRITTEN, NAMED = 12, 30
"""Up to so many values the cells hold their numbers, and the rows their names; beyond, every fifth has its place."""


@dataclass(frozen=True)
class Confusion:
    """counts: int [K, K], true value by predicted one, in the order of `names`. blocks: where one coarse class ends and
    the next begins, as places between 0 and K."""

    title: str
    counts: NDArray[np.int64]
    names: tuple[str, ...]
    blocks: tuple[int, ...] = ()

    @property
    def shares(self) -> NDArray[np.float64]:
        """Every row as shares of its own images; a row without images is zero."""
        sizes = self.counts.sum(axis=1, keepdims=True)
        shares: NDArray[np.float64] = self.counts / np.maximum(sizes, 1)
        return shares

    @property
    def accuracy(self) -> float:
        """The share of all images on the diagonal."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the diagonal shares over the values that occur."""
        return float(np.diag(self.shares)[self.counts.sum(axis=1) > 0].mean())


def confusion_counts(true: NDArray[Any], predicted: NDArray[Any], count: int) -> NDArray[np.int64]:
    """How many images of each true value (row) were taken for each value (column), int64 [count, count].

    Raises ValueError for no images, other lengths, or values outside 0..count-1.
    """
    if len(true) != len(predicted) or not len(true):
        raise ValueError(f"needs as many predictions as images, got {len(predicted)} of {len(true)}")
    for values in (true, predicted):
        if values.min() < 0 or values.max() >= count:
            raise ValueError(f"values run from {values.min()} to {values.max()}, not from 0 to {count - 1}")
    cells = true.astype(np.int64) * count + predicted.astype(np.int64)
    return np.bincount(cells, minlength=count * count).reshape(count, count).astype(np.int64)


def confusion(
    title: str,
    true: NDArray[Any],
    predicted: NDArray[Any],
    names: Sequence[str],
    coarse_of: NDArray[Any] | None = None,
) -> Confusion:
    """The confusion of one attribute. coarse_of: int [K], the coarse class of each value; values of one coarse class
    then stand together, in their own order."""
    counts = confusion_counts(true, predicted, len(names))
    if coarse_of is None:
        return Confusion(title, counts, tuple(names))
    order = np.argsort(coarse_of, kind="stable")
    ends = tuple((np.flatnonzero(np.diff(coarse_of[order])) + 1).tolist())
    return Confusion(title, counts[np.ix_(order, order)], tuple(names[k] for k in order), ends)


def confusion_picture(title: str, confusions: Sequence[Confusion]) -> bytes:
    """The row-normalised matrices side by side, as PNG."""
    sides = [_side(found) for found in confusions]
    # One row of unequal panels: a matrix of two classes needs less room than one of ten.
    figure, axes = new_figure(1, len(confusions), sum(sides) + 1.4, max(sides) + 0.9)
    axes[0].get_gridspec().set_width_ratios(sides)  # type: ignore[union-attr]
    for axis, found in zip(axes, confusions, strict=True):
        _matrix(axis, found)
    axes[0].set_ylabel("true", fontsize=8.5)
    bar = figure.colorbar(axes[-1].images[0], ax=axes, fraction=0.025, pad=0.02)
    bar.set_label("share of the row's images", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    set_heading(figure, title)
    return png_bytes(figure)


def _side(found: Confusion) -> float:
    """Inches."""
    return min(max(2.9, 1.5 + 0.42 * len(found.names)), 6.2)


def _matrix(axis: Axes, found: Confusion) -> None:
    shares, count = found.shares, len(found.names)
    # One light-to-dark scale of a single hue survives grey paper and every colour vision.
    axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    axis.grid(visible=False)
    for end in found.blocks:
        axis.axhline(end - 0.5, color="black", linewidth=0.8)
        axis.axvline(end - 0.5, color="black", linewidth=0.8)
    if count <= WRITTEN:
        for row, column in np.argwhere(found.counts):
            share = shares[row, column]
            colour = "white" if share > 0.55 else "#333333"
            cell = axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5, color=colour)
            cell.set_in_layout(False)  # inside the axis anyway, and measuring a hundred texts is slow
    if count <= NAMED:
        names = [wrapped(name, 16) for name in found.names]
        axis.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=7.5)
        axis.set_yticks(range(count), names, fontsize=7.5)
    else:
        axis.set_xticks(range(0, count, -(-count // 100) * 5))
        axis.set_yticks(range(0, count, -(-count // 100) * 5))
    axis.set_xlabel("predicted", fontsize=8.5)
    told = f"accuracy {found.accuracy:.3f}, balanced {found.balanced_accuracy:.3f}"
    axis.set_title(f"{found.title}\n{told}", fontsize=8.5)
