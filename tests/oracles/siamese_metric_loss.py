"""The loss of the siamese metric by loops over pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence


def siamese_metric_loss(pair_logits: Sequence[Sequence[float]], same_prototype: Sequence[int], *, kind: str) -> float:
    within = {1: 0, 6: 2, 15: 6}[len(pair_logits[0])]
    total = 0.0
    for image, logits in enumerate(pair_logits):
        for pair, logit in enumerate(logits):
            target = 1 if pair < within else same_prototype[image]
            probability = 1 / (1 + math.exp(-logit))
            total += {
                "bce": -math.log(probability if target else 1 - probability),
                "l1": abs(logit - target),
                "l2": (logit - target) ** 2,
            }[kind]
    return total / len(pair_logits)
