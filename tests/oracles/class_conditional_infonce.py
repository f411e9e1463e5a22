"""Class-conditional InfoNCE by loops: Chen et al. 2022, L_cNCE."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, comparisons, dot, mean


def class_conditional_infonce(
    features: Features, labels: Sequence[int], *, temperature: float, symmetric: bool
) -> float:
    losses = []
    for anchor, candidates in comparisons(features, "cross_view" if symmetric else "cross_view_one_way"):
        total, own = 0.0, 0.0
        for other in candidates:
            if labels[other.image] == labels[anchor.image]:
                total += math.exp(dot(anchor, other) / temperature)
            if other.image == anchor.image:
                own = math.exp(dot(anchor, other) / temperature)
        losses.append(-math.log(own / total))
    return mean(losses)
