"""Generalised cross entropy by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence


def generalised_cross_entropy(
    logits: Sequence[Sequence[Sequence[float]]], labels: Sequence[int], *, amplification: float
) -> float:
    losses = []
    for i, views in enumerate(logits):
        for scores in views:
            p = math.exp(scores[labels[i]]) / sum(math.exp(score) for score in scores)
            losses.append((1 - p**amplification) / amplification)
    return float(sum(losses)) / len(losses)
