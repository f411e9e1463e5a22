"""The authors' code of Perfectly Balanced by loops, from its description."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, comparisons, dot, mean


def spread_reference(
    features: Features,
    labels: Sequence[int],
    *,
    kind: str,
    temperature: float,
    supervised_weight: float,
    spread_weight: float,
    column_norms: bool,
    positive_clip: float,
    positives_in_denominator: bool,
    positives_weight: float,
) -> float:
    if kind != "spread":
        supervised_weight, spread_weight = (0.0, 1.0) if kind == "repel" else (1.0, 0.0)
    classes = list(range(len(labels))) if kind == "simclr" else labels
    losses = []
    for anchor, candidates in comparisons(features, "cross_view_one_way"):
        logits = {}
        for other in candidates:
            logits[other.image] = dot(anchor, other) / temperature
            if column_norms:
                twin = Row(other.image, anchor.view, features[other.image][anchor.view])
                logits[other.image] /= math.sqrt(dot(twin, twin) * dot(other, other))
        positives = [logit for image, logit in logits.items() if classes[image] == classes[anchor.image]]
        negatives = sum(math.exp(logit) for image, logit in logits.items() if classes[image] != classes[anchor.image])
        total = sum(math.exp(logit) for logit in positives)
        supervised = []
        for logit in positives:
            inside = positives_weight * total if positives_in_denominator else math.exp(logit)
            lead = min(logit, 1.0) if positive_clip == 1.0 else logit
            supervised.append(math.log(inside + negatives) - lead)
        conditional = math.log(total) - logits[anchor.image]
        weighted = supervised_weight * mean(supervised) + spread_weight * conditional
        losses.append(weighted / (supervised_weight + spread_weight))
    return mean(losses)
