"""The skew Renyi bound by loops: Lee and Shin 2022 (RenyiCL)."""

from __future__ import annotations

import math

from tests.oracles.rows import Features, all_rows, dot, mean


def renyi(
    features: Features,
    momentum_features: Features,
    *,
    temperature: float,
    order: float,
    skew: float | None,
    targets: int,
) -> float:
    images, views = len(features), len(features[0])
    if skew is None:
        skew = 1 / (images * (views - 1))
    total = 0.0
    for target in range(min(targets, len(momentum_features[0]))):
        alike: list[float] = []
        different: list[float] = []
        for query in all_rows(features):
            for key in all_rows(momentum_features):
                if key.view == target and query.view != target:
                    logit = dot(query, key) / temperature
                    (alike if query.image == key.image else different).append(logit)
        mixture = mean([math.exp(order * f) for f in alike])
        if different:
            mixture = skew * mixture + (1 - skew) * mean([math.exp(order * f) for f in different])
        first = mean(alike) if order == 1 else math.log(mean([math.exp((order - 1) * f) for f in alike])) / (order - 1)
        total += first - math.log(mixture) / order
    return -total
