"""Balanced contrastive loss by loops: Zhu et al. 2022, as the authors' code counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, all_rows, dot, mean


def balanced_contrastive(
    features: Features,
    labels: Sequence[int],
    prototypes: Sequence[Sequence[float]],
    *,
    temperature: float,
    class_averaging: bool,
    class_complement: bool,
) -> float:
    rows = all_rows(features)
    members: dict[int, list[Row]] = {k: [] for k in range(len(prototypes))}
    for row in rows:
        members[labels[row.image]].append(row)
    if class_complement:
        for k, vector in enumerate(prototypes):
            members[k].append(Row(-1, k, vector))
    losses = []
    for anchor in rows:
        denominator = 0.0
        for rivals in members.values():
            others = [math.exp(dot(anchor, other) / temperature) for other in rivals if other is not anchor]
            if others:
                denominator += mean(others) if class_averaging else sum(others)
        positives = [other for other in members[labels[anchor.image]] if other is not anchor]
        ratios = [math.exp(dot(anchor, other) / temperature) / denominator for other in positives]
        losses.append(-mean([math.log(ratio) for ratio in ratios]) if ratios else 0.0)
    return mean(losses)
