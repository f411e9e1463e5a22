"""Weighted cross entropy by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence


def weighted_cross_entropy(
    logits: Sequence[Sequence[Sequence[float]]], labels: Sequence[int], sample_weights: Sequence[float]
) -> float:
    losses = []
    for i, views in enumerate(logits):
        for scores in views:
            total = sum(math.exp(score) for score in scores)
            losses.append(-sample_weights[i] * math.log(math.exp(scores[labels[i]]) / total))
    return sum(losses) / len(losses)
