"""InfoNCE with a margin by loops: Barbano et al. 2023, eq. 2."""

from __future__ import annotations

import math

from tests.oracles.rows import Features, all_rows, dot, mean


def epsilon_infonce(
    features: Features, *, temperature: float, epsilon: float, floor: float, base_temperature: float | None
) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        shift = max(dot(anchor, other) / temperature for other in rows)
        negatives = floor
        for other in rows:
            if other.image != anchor.image:
                negatives += math.exp(dot(anchor, other) / temperature - shift)
        own = [math.exp(dot(anchor, other) / temperature - shift) for other in rows if other.image == anchor.image]
        own.pop(anchor.view)
        losses.append(mean([-math.log(value / (value * math.exp(-epsilon) + negatives)) for value in own]))
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
