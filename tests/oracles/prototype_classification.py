"""Classification of prototypes by loops, plain and symmetric."""

from __future__ import annotations

import math
from collections.abc import Sequence

Logits = Sequence[Sequence[Sequence[float]]]


def prototype_classification(
    prototype_logits: Logits,
    assignments: Sequence[int],
    partner_prototype_logits: Logits,
    partner_assignments: Sequence[int],
    *,
    kind: str,
) -> float:
    total = 0.0
    for logits, prototypes in ((prototype_logits, assignments), (partner_prototype_logits, partner_assignments)):
        for views, prototype in zip(logits, prototypes, strict=True):
            for scores in views:
                total += _one(scores, prototype, kind)
    return total / len(assignments)


def _one(scores: Sequence[float], prototype: int, kind: str) -> float:
    whole = sum(math.exp(score) for score in scores)
    shares = [math.exp(score) / whole for score in scores]
    cross = -math.log(shares[prototype])
    if kind == "cross_entropy":
        return cross
    reverse = 0.0
    for k, share in enumerate(shares):
        target = max(1.0 if k == prototype else 0.0, 1e-4)
        reverse -= max(share, 1e-7) * math.log(target)
    return 0.1 * cross + 1.0 * reverse
