"""Supervised contrastive loss by loops: Khosla et al. 2020, eq. 2 and 3."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, comparisons, dot, mean, ratio_loss


def supcon(
    features: Features,
    labels: Sequence[int],
    *,
    temperature: float,
    form: str,
    denominator: str,
    contrast: str,
    base_temperature: float | None,
) -> float:
    losses = []
    for anchor, candidates in comparisons(features, contrast):
        positives: list[float] = []
        negatives: list[float] = []
        for other in candidates:
            group = positives if labels[other.image] == labels[anchor.image] else negatives
            group.append(math.exp(dot(anchor, other) / temperature))
        losses.append(ratio_loss(positives, negatives, form, denominator))
    return mean(losses) * (1 if base_temperature is None else temperature / base_temperature)
