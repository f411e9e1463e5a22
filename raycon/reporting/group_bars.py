"""Accuracy group by group, with intervals that hold for all groups at once: computed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raycon.reporting.figures import BLUE, ORANGE, new_figure, png_bytes
from raycon.reporting.looks import set_heading
from raycon.seeding import derive_seed
from raycon.statistics import worst_group

DRAWN = 30
"""Of more groups, the worst so many are drawn."""


@dataclass(frozen=True)
class GroupBar:
    """One group with images. low, high: its simultaneous interval."""

    name: str
    accuracy: float
    low: float
    high: float
    size: int


@dataclass(frozen=True)
class GroupBars:
    """bars: the groups that have images, in the order of their numbers. low, high: the interval of the lowest true
    accuracy; bias: by how much noise alone lowers the smallest accuracy (0 or less). missing: groups without images."""

    bars: tuple[GroupBar, ...]
    average: float
    low: float
    high: float
    bias: float
    missing: int

    @property
    def worst(self) -> GroupBar:
        """The first of the groups with the least accuracy."""
        return min(self.bars, key=lambda bar: bar.accuracy)


def group_bars(right: NDArray[Any], groups: NDArray[Any], names: Sequence[str]) -> GroupBars:
    """right: bool [n], whether each image was told right. groups: int [n], numbers of `names`.

    Intervals are Clopper-Pearson at 1 - 0.05 / G for the G groups with images (`raycon.statistics.worst_group`): over
    draws of images; training runs add their own spread. The numbers are those of the protocol `groups`. Raises
    ValueError where there are no images.
    """
    sizes = np.bincount(groups, minlength=len(names))
    hits = np.bincount(groups, weights=np.asarray(right, dtype=np.float64), minlength=len(names))
    # The generator of the protocol `groups`, for the same bias.
    generator = np.random.default_rng(derive_seed(0, "worst_group", len(names)))
    worst = worst_group([round(hit) for hit in hits.tolist()], sizes.tolist(), generator=generator)
    bars = tuple(
        GroupBar(name, float(hit / size), *interval, int(size))
        for name, hit, size, interval in zip(names, hits, sizes, worst.intervals, strict=True)
        if interval is not None
    )
    return GroupBars(bars, float(np.mean(right)), worst.low, worst.high, worst.bias, len(names) - len(bars))


def group_picture(title: str, found: GroupBars) -> bytes:
    """A bar for each group, the worst one marked, as PNG."""
    bars = sorted(found.bars, key=lambda bar: bar.accuracy)[:DRAWN] if len(found.bars) > DRAWN else list(found.bars)
    figure, axes = new_figure(1, 1, 7.6, 2.1 + 0.27 * len(bars))
    axis, places = axes[0], np.arange(len(bars))
    colours = [ORANGE if bar is found.worst else BLUE for bar in bars]
    accuracies = [bar.accuracy for bar in bars]
    axis.barh(places, accuracies, color=colours, alpha=0.75, height=0.68)
    errors = [[bar.accuracy - bar.low for bar in bars], [bar.high - bar.accuracy for bar in bars]]
    axis.errorbar(accuracies, places, xerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2.5)
    axis.axvline(found.average, color="black", linestyle="--", linewidth=0.9)
    axis.set_yticks(places, [f"{bar.name}  (n = {bar.size:,})" for bar in bars], fontsize=7.5)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlim(0.0, 1.0)
    axis.grid(axis="y", visible=False)
    for place, bar in zip(places, bars, strict=True):
        axis.text(1.015, float(place), f"{bar.accuracy:.3f}", fontsize=7.5, va="center", color="#333333")
    axis.set_xlabel("accuracy", fontsize=8)
    figure.supxlabel(_told(found, len(bars)), fontsize=8)
    set_heading(figure, title)
    return png_bytes(figure)


def _told(found: GroupBars, drawn: int) -> str:
    worst = found.worst
    lines = [
        f"Dashed: all images, {found.average:.3f}. Intervals: Clopper-Pearson, 95 % for all {len(found.bars)} at once.",
        f"Worst, in orange: {worst.name}, {worst.accuracy:.3f}. The lowest true accuracy lies in "
        f"[{found.low:.3f}, {found.high:.3f}];",
        f"noise alone lowers the smallest of the accuracies by {abs(found.bias):.3f} on average.",
    ]
    if drawn < len(found.bars):
        lines.append(f"The {drawn} worst of {len(found.bars)} are shown.")
    if found.missing:
        lines.append(f"{found.missing} without images are left out.")
    return "\n".join(lines)
