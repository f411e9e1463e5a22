"""The spread loss by loops: Chen et al. 2022, (1 - alpha) L_sup + alpha L_cNCE of cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, comparisons, dot, mean


def spread(features: Features, labels: Sequence[int], *, alpha: float, temperature: float, symmetric: bool) -> float:
    losses = []
    for anchor, candidates in comparisons(features, "cross_view" if symmetric else "cross_view_one_way"):
        exponentials = {
            other.image: math.exp(dot(anchor, other) / math.sqrt(dot(anchor, anchor) * dot(other, other)) / temperature)
            for other in candidates
        }
        positives = [value for image, value in exponentials.items() if labels[image] == labels[anchor.image]]
        negatives = [value for image, value in exponentials.items() if labels[image] != labels[anchor.image]]
        supervised = mean([-math.log(value / (value + sum(negatives))) for value in positives])
        conditional = -math.log(exponentials[anchor.image] / sum(positives))
        losses.append((1 - alpha) * supervised + alpha * conditional)
    return mean(losses)
