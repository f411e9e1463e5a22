"""Weighted mean losses of groups by loops: Sagawa et al. 2020."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import mean


def group_dro(
    logits: Sequence[Sequence[Sequence[float]]],
    labels: Sequence[int],
    groups: Sequence[int],
    group_weights: Sequence[float],
) -> float:
    total = 0.0
    for group, weight in enumerate(group_weights):
        losses = []
        for image, views in enumerate(logits):
            for scores in views:
                if groups[image] == group:
                    losses.append(math.log(sum(math.exp(s) for s in scores)) - scores[labels[image]])
        total += weight * mean(losses) if losses else 0.0
    return total
