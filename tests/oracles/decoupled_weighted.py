"""The weighted decoupled loss by loops: Yeh et al. 2022, each pair of views with weights of its own."""

from __future__ import annotations

import math

from tests.oracles.decoupled import decoupled_with_weights
from tests.oracles.rows import Features


def decoupled_weighted(
    features: Features, *, temperature: float, sigma: float, contrast: str, over_views: str, weight_gradient: str
) -> float:
    def weight(image: int, view: int, other: int) -> float:
        peaks = [math.exp(sum(x * y for x, y in zip(i[view], i[other], strict=True)) / sigma) for i in features]
        return 2 - peaks[image] / (sum(peaks) / len(peaks))

    return decoupled_with_weights(features, weight, temperature=temperature, contrast=contrast, over_views=over_views)
