"""Supervised InfoNCE with a margin by loops: Barbano et al. 2023, eq. 4, averaged over positives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def epsilon_supinfonce(
    features: Features,
    labels: Sequence[int],
    *,
    temperature: float,
    epsilon: float,
    form: str,
    floor: float,
    base_temperature: float | None,
) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        shift = max(dot(anchor, other) / temperature for other in rows)
        positives, negatives = [], floor
        for other in rows:
            exponential = math.exp(dot(anchor, other) / temperature - shift)
            if labels[other.image] != labels[anchor.image]:
                negatives += exponential
            elif other is not anchor:
                positives.append(exponential)
        if not positives:
            losses.append(0.0)
        elif form == "out":
            losses.append(mean([-math.log(own / (math.exp(-epsilon) * own + negatives)) for own in positives]))
        else:
            losses.append(-math.log(sum(positives) / (math.exp(-epsilon) * mean(positives) + negatives)))
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
