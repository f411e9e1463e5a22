"""UniCon by loops, as its public code has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def unicon(
    features: Features,
    universum_features: Features,
    labels: Sequence[int],
    *,
    temperature: float,
    contrast: str,
    base_temperature: float | None,
) -> float:
    universum = {(row.image, row.view): row for row in all_rows(universum_features)}
    losses = []
    for a in all_rows(features):
        if contrast == "first_view" and a.view:
            continue
        others = {key: math.exp(dot(a, u) / temperature) for key, u in universum.items() if key != (a.image, a.view)}
        total = sum(others.values())
        terms = [-math.log(e / total) for (image, _), e in others.items() if labels[image] == labels[a.image]]
        losses.append(mean(terms) if terms else 0.0)
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
