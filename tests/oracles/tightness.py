"""Simplified pairwise cross entropy and its joint form with prototypes, by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, all_rows, dot, mean


def tightness(
    features: Features,
    labels: Sequence[int],
    prototypes: Sequence[Sequence[float]],
    *,
    temperature: float,
    prototype_weight: float,
) -> float:
    rows = all_rows(features)
    pairwise, joint = [], []
    for anchor in rows:
        toward = {
            k: sum(dot(anchor, row) / temperature for row in rows if labels[row.image] == k) / len(rows)
            for k in set(labels)
        }
        own = labels[anchor.image]
        pairwise.append(-toward[own] + math.log(sum(math.exp(value) for value in toward.values())))
        scores = [dot(anchor, Row(-1, k, vector)) / temperature for k, vector in enumerate(prototypes)]
        joint.append(-scores[own] + math.log(sum(math.exp(score) for score in scores)))
    return mean(pairwise) + prototype_weight * mean(joint)
