"""The accuracy of the worst group: its intervals, and how much too low the plain minimum is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raycon.statistics.intervals import clopper_pearson


@dataclass(frozen=True)
class WorstGroup:
    """accuracy: the lowest of the groups'. low, high: an interval of the lowest true accuracy. bias: what the minimum
    over groups of these sizes falls short of the lowest true accuracy on average, by noise alone (0 or less).
    intervals: (low, high) of each group, all of them right at once; None for a group without images."""

    accuracy: float
    low: float
    high: float
    bias: float
    intervals: tuple[tuple[float, float] | None, ...]


def worst_group(
    correct: Sequence[int],
    sizes: Sequence[int],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    draws: int = 4000,
) -> WorstGroup:
    """The worst of G groups of test images, of which `correct[g]` of `sizes[g]` were told right.

    Each group has its Clopper-Pearson interval at level 1 - (1 - confidence) / G (Bonferroni), so that all hold at
    once, and the lowest true accuracy lies between the lowest lower and the lowest upper end. The bias is estimated by
    drawing the groups' results again from their own accuracies. All of this is over draws of images; training runs add
    their own spread. Groups without images are left out. Raises ValueError if no group has images, or for impossible
    counts.
    """
    filled = [group for group, size in enumerate(sizes) if size > 0]
    if len(correct) != len(sizes) or not filled:
        raise ValueError(f"needs correct and sizes of the same groups, at least one with images, got {list(sizes)}")
    level = 1 - (1 - confidence) / len(filled)
    intervals = [
        clopper_pearson(right, size, level) if size else None for right, size in zip(correct, sizes, strict=True)
    ]
    shares = np.array([correct[group] / sizes[group] for group in filled])
    counts = np.array([sizes[group] for group in filled])
    again = generator.binomial(counts, shares, size=(draws, len(filled))) / counts
    bias = float(again.min(axis=1).mean() - shares.min())
    ends = [interval for interval in intervals if interval is not None]
    lowest = min(low for low, _ in ends), min(high for _, high in ends)
    return WorstGroup(float(shares.min()), *lowest, bias, tuple(intervals))
