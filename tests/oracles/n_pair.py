"""N-pair loss by loops: Sohn 2016, over all positive pairs of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def n_pair(features: Features, labels: Sequence[int], *, temperature: float, length_weight: float) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        near, far = [], []
        for other in rows:
            if labels[other.image] != labels[anchor.image]:
                far.append(dot(anchor, other) / temperature)
            elif other is not anchor:
                near.append(dot(anchor, other) / temperature)
        pairs = [math.log(1 + sum(math.exp(n - p) for n in far)) for p in near]
        losses.append(mean(pairs) if pairs else 0.0)
    return mean(losses) + length_weight * mean([dot(row, row) for row in rows])
