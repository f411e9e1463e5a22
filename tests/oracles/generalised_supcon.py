"""The generalised supervised contrastive loss by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def generalised_supcon(features: Features, labels: Sequence[int], *, temperature: float, amplification: float) -> float:
    rows = all_rows(features)
    losses = []
    for a in rows:
        others = [b for b in rows if b is not a]
        total = sum(math.exp(dot(a, b) / temperature) for b in others)
        shares = [math.exp(dot(a, b) / temperature) / total for b in others if labels[b.image] == labels[a.image]]
        losses.append(mean([(1 - p**amplification) / amplification for p in shares]) if shares else 0.0)
    return mean(losses)
