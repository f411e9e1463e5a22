"""InfoNCE by loops, with or without the negatives of the anchor's own prototype."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def prototype_infonce(
    features: Features, assignments: Sequence[int], *, temperature: float, mask_same_prototype: bool
) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        own, kept = [], []
        for other in rows:
            if other is anchor:
                continue
            if other.image == anchor.image:
                own.append(other)
            elif mask_same_prototype and assignments[other.image] == assignments[anchor.image]:
                continue
            kept.append(math.exp(dot(anchor, other) / temperature))
        total = sum(kept)
        losses.append(mean([-math.log(math.exp(dot(anchor, other) / temperature) / total) for other in own]))
    return mean(losses)
