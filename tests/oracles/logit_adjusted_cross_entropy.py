"""Cross entropy after every logit was given its class's prior, by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence


def logit_adjusted_cross_entropy(
    logits: Sequence[Sequence[Sequence[float]]],
    labels: Sequence[int],
    class_frequencies: Sequence[float],
    *,
    strength: float,
) -> float:
    losses = []
    for image, views in enumerate(logits):
        for scores in views:
            odds = [math.exp(score) * share**strength for score, share in zip(scores, class_frequencies, strict=True)]
            losses.append(-math.log(odds[labels[image]] / sum(odds)))
    return sum(losses) / len(losses)
