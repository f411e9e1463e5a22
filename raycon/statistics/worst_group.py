"""The accuracy of the worst group: its intervals, and an estimate of how much too low the plain minimum is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raycon.statistics.intervals import clopper_pearson


@dataclass(frozen=True)
class WorstGroup:
    """accuracy: the lowest of the groups'. low, high: an interval of the lowest true accuracy. bias: an estimate of
    what the minimum over groups of these sizes falls short of the lowest true accuracy on average, by noise alone (0 or
    less). intervals: (low, high) of each group, all of them right at once; None for a group without images."""

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
    once, and the lowest true accuracy lies between the lowest lower and the lowest upper end.

    The bias is that of `draws` binomial draws around accuracies that lie as far apart as the true ones are estimated
    to: the seen ones lie further apart, as noise is in them, and draws around those show less than half of the bias
    where groups are equal. They are drawn towards their weighted mean by the root of the share of their variance that
    is not binomial (moment estimate, as in random-effects meta-analysis). The choice is ours. In simulation (2 to 10
    groups of 100 to 500 images) the mean estimate is 0.76 to 0.83 of the true bias where all groups are equal, and 0.95
    to 1.35 of it where 4 or more true accuracies are spread normally, by 0.01 to 0.1; of two groups that lie apart up
    to twice the little bias that there is, and about 0.45 where several groups tie far below all others.

    All of this is over draws of images; training runs add their own spread. Groups without images are left out; of one
    group the bias is 0. Raises ValueError if no group has images, or for impossible counts.
    """
    filled = [group for group, size in enumerate(sizes) if size > 0]
    if len(correct) != len(sizes) or not filled:
        raise ValueError(f"needs correct and sizes of the same groups, at least one with images, got {list(sizes)}")
    level = 1 - (1 - confidence) / len(filled)
    intervals = [
        clopper_pearson(right, size, level) if size else None for right, size in zip(correct, sizes, strict=True)
    ]
    counts = np.array([sizes[group] for group in filled])
    shares = np.array([correct[group] for group in filled]) / counts
    likely = _likely(shares, counts)
    again = generator.binomial(counts, likely, size=(draws, len(filled))) / counts
    bias = min(0.0, float(again.min(axis=1).mean() - likely.min())) if len(filled) > 1 else 0.0
    ends = [interval for interval in intervals if interval is not None]
    lowest = min(low for low, _ in ends), min(high for _, high in ends)
    return WorstGroup(float(shares.min()), *lowest, bias, tuple(intervals))


def _likely(shares: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Accuracies that spread as the true ones are estimated to, in the order of the seen ones."""
    whole = float(shares @ counts / counts.sum())
    noise = whole * (1 - whole) / counts
    if whole in (0.0, 1.0) or len(counts) < 2:
        return shares
    weights = 1 / noise
    mean = float(weights @ shares / weights.sum())
    excess = float(weights @ (shares - mean) ** 2) - (len(counts) - 1)
    between = max(0.0, excess / float(weights.sum() - weights @ weights / weights.sum()))
    weights = 1 / (noise + between)
    mean = float(weights @ shares / weights.sum())
    return np.clip(mean + np.sqrt(between / (noise + between)) * (shares - mean), 0.0, 1.0)
