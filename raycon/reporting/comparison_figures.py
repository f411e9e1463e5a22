"""Pictures of a comparison, as PNG bytes: every pair with its interval, and every seed as a line across the sides."""

from __future__ import annotations

import math

from raycon.comparison import Compared
from raycon.reporting.figures import GREY, ORANGE, new_figure, png_bytes, wrapped


def pairs_figure(compared: Compared) -> bytes:
    """Paired differences with intervals, dots are seeds; filled where shown. One column of axes a score."""
    count = len(compared.pairs) // len(compared.scores)
    figure, axes = new_figure(1, len(compared.scores), 2.6 + 4.6 * len(compared.scores), 1.7 + 0.62 * count, share=True)
    for column, (axis, score) in enumerate(zip(axes, compared.scores, strict=True)):
        pairs = compared.pairs[column * count : (column + 1) * count]
        for place, pair in enumerate(pairs):
            axis.plot(pair.differences, [place + 0.2] * len(pair.differences), "o", color=GREY, markersize=3.5)
            if pair.interval is None:
                continue
            mean, low, high = pair.interval.mean, pair.interval.low, pair.interval.high
            filled = ORANGE if pair.verdict.startswith("shown") else "white"
            error = [[mean - low], [high - mean]]
            axis.errorbar([mean], [place], xerr=error, fmt="D", color=ORANGE, markerfacecolor=filled, capsize=4)
        if compared.margin is not None:
            axis.axvspan(-compared.margin, compared.margin, color=GREY, alpha=0.15, linewidth=0)
        axis.axvline(0.0, color="black", linewidth=0.8)
        labels = [
            f"{wrapped(pair.first, 34)}\n- {wrapped(pair.second, 34)}\nn = {len(pair.differences)}" for pair in pairs
        ]
        axis.set_yticks(range(count), labels, fontsize=7.5)
        axis.set_ylim(count - 0.4, -0.6)
        axis.set_xlabel(wrapped(f"gain in {score}", 60), fontsize=8)
    margin = "" if compared.margin is None else f", grey: margin {compared.margin:g}"
    mark = "UNEQUAL BUDGETS\n" if compared.unequal else ""
    confidence = f"{1 - compared.alpha:.0%}"
    figure.suptitle(
        f"{mark}paired differences (dots: seeds; filled: shown), {confidence} t interval{margin}", fontsize=9
    )
    return png_bytes(figure)


def slopes_figure(compared: Compared, score: str) -> bytes:
    """Each seed as a line across the sides; the black bars are means over all seeds of a side."""
    sides = compared.sides
    figure, axes = new_figure(1, 1, max(5.0, 1.6 + 1.5 * len(sides)), 4.2)
    axis = axes[0]
    values = [side.values(score) for side in sides]
    seeds = sorted({seed for found in values for seed in found})
    for seed in seeds:
        axis.plot(range(len(sides)), [found.get(seed, math.nan) for found in values], "o-", color=GREY, ms=4, lw=0.8)
    for place, found in enumerate(values):
        mean = sum(found.values()) / len(found)
        axis.plot([place - 0.2, place + 0.2], [mean, mean], color="black", linewidth=2)
    axis.set_xticks(range(len(sides)), [wrapped(side.name, 20) for side in sides], fontsize=8)
    axis.set_xlim(-0.4, len(sides) - 0.6)
    axis.set_ylabel(score, fontsize=8)
    mark = "UNEQUAL BUDGETS; " if compared.unequal else ""
    axis.set_title(f"{mark}one line a seed, n = {len(seeds)}; bars: means", fontsize=9)
    return png_bytes(figure)
