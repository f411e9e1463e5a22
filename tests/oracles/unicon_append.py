"""SupCon with universum rows as further negatives, by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def unicon_append(
    features: Features, universum_features: Features, labels: Sequence[int], *, temperature: float
) -> float:
    rows, universum = all_rows(features), all_rows(universum_features)
    losses = []
    for a in rows:
        others = [b for b in rows if b is not a]
        total = sum(math.exp(dot(a, b) / temperature) for b in [*others, *universum])
        terms = [
            -math.log(math.exp(dot(a, b) / temperature) / total) for b in others if labels[b.image] == labels[a.image]
        ]
        losses.append(mean(terms) if terms else 0.0)
    return mean(losses)
