"""The TensorFlow code of the SupCon authors by loops, from its description: cap, single view, scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, comparisons, dot, mean, ratio_loss


def supcon_google(
    features: Features,
    labels: Sequence[int],
    *,
    temperature: float,
    form: str,
    denominator: str,
    contrast: str,
    positives_cap: int | None,
    scale_by_temperature: bool,
) -> float:
    views = len(features[0])
    losses = []
    for anchor, candidates in comparisons(features, contrast):
        others = [
            image for image, label in enumerate(labels) if label == labels[anchor.image] and image != anchor.image
        ]
        if positives_cap is not None:
            others = others[: positives_cap // views]
        positives, negatives = [], []
        for other in candidates:
            exponential = math.exp(dot(anchor, other) / temperature)
            if other.image == anchor.image or other.image in others:
                positives.append(exponential)
            elif labels[other.image] != labels[anchor.image]:
                negatives.append(exponential)
        loss = ratio_loss(positives, negatives, form, denominator)
        if views == 1 and positives:
            loss /= len(positives)
        losses.append(loss)
    return mean(losses) * (temperature if scale_by_temperature else 1)
