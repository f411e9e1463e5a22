"""Cross entropy with label smoothing by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence


def cross_entropy(
    logits: Sequence[Sequence[Sequence[float]]], labels: Sequence[int], *, label_smoothing: float
) -> float:
    losses = []
    for image, views in enumerate(logits):
        for scores in views:
            total = sum(math.exp(score) for score in scores)
            loss = 0.0
            for k, score in enumerate(scores):
                target = label_smoothing / len(scores) + (1 - label_smoothing) * (k == labels[image])
                loss -= target * math.log(math.exp(score) / total)
            losses.append(loss)
    return sum(losses) / len(losses)
