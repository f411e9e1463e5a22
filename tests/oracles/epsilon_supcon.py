"""SupCon with a margin by loops: Barbano et al. 2023, eq. 5 without its constant."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def epsilon_supcon(
    features: Features,
    labels: Sequence[int],
    *,
    temperature: float,
    epsilon: float,
    floor: float,
    base_temperature: float | None,
) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        shift = max(dot(anchor, other) / temperature for other in rows)
        positives, total = [], floor
        for other in rows:
            exponential = math.exp(dot(anchor, other) / temperature - shift)
            if labels[other.image] != labels[anchor.image]:
                total += exponential
            elif other is not anchor:
                positives.append(exponential)
                total += exponential * math.exp(-epsilon)
        losses.append(mean([-math.log(own / total) for own in positives]) if positives else 0.0)
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
