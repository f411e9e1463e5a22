"""InfoNCE over views by loops: Chen et al. 2020 (SimCLR), eq. 1."""

from __future__ import annotations

import math

from tests.oracles.rows import Features, comparisons, dot, mean


def infonce(features: Features, *, temperature: float, contrast: str, base_temperature: float | None) -> float:
    losses = []
    for anchor, candidates in comparisons(features, contrast):
        total = sum(math.exp(dot(anchor, other) / temperature) for other in candidates)
        own = [other for other in candidates if other.image == anchor.image]
        losses.append(mean([-math.log(math.exp(dot(anchor, other) / temperature) / total) for other in own]))
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
