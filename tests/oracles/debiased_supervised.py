"""The debiased loss by loops, samples of the anchor's class being its members: the estimator of Chuang et al. 2020."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot, mean


def debiased_supervised(features: Features, labels: Sequence[int], *, temperature: float, class_prior: float) -> float:
    rows = all_rows(features)
    losses = []
    for anchor in rows:
        own, alike, unlabelled = [], [], []
        for other in rows:
            value = math.exp(dot(anchor, other) / temperature)
            if other is anchor:
                continue
            if other.image == anchor.image:
                own.append(value)
            else:
                unlabelled.append(value)
            if labels[other.image] == labels[anchor.image]:
                alike.append(value)
        total = 0.0
        if unlabelled:
            corrected = (mean(unlabelled) - class_prior * mean(alike)) / (1 - class_prior)
            total = len(unlabelled) * max(corrected, math.exp(-1 / temperature))
        losses.append(mean([-math.log(value / (value + total)) for value in own]))
    return mean(losses)
