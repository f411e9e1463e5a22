"""Cross entropy against two labels by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mixed_cross_entropy(
    mixed_logits: Sequence[Sequence[Sequence[float]]],
    labels: Sequence[int],
    mixed_labels: Sequence[int],
    mixed_share: Sequence[float],
) -> float:
    losses = []
    for i, views in enumerate(mixed_logits):
        for scores in views:
            total = sum(math.exp(score) for score in scores)
            for label, share in ((labels[i], mixed_share[i]), (mixed_labels[i], 1 - mixed_share[i])):
                losses.append(-share * math.log(math.exp(scores[label]) / total))
    return 2 * sum(losses) / len(losses)
