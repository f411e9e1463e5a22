"""InfoNCE of neighbours and predictions by loops: Dwibedi et al. 2021 (NNCLR); decoupled: Yeh et al. 2022."""

from __future__ import annotations

import math

from tests.oracles.rows import Features, all_rows, dot, mean


def nearest_neighbour_infonce(
    neighbour_features: Features, predictions: Features, *, temperature: float, decoupled: bool
) -> float:
    losses = []
    for neighbour in all_rows(neighbour_features):
        for view in range(len(predictions[0])):
            if view == neighbour.view:
                continue
            total, own = 0.0, 0.0
            for other in all_rows(predictions):
                if other.view == view:
                    logit = dot(neighbour, other) / temperature
                    if other.image == neighbour.image:
                        own = logit
                    if other.image != neighbour.image or not decoupled:
                        total += math.exp(logit)
            losses.append(math.log(total) - own if total else 0.0)
    return mean(losses)
