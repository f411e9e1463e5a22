"""ESupCon in our definition, by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, all_rows, dot, mean


def esupcon(
    features: Features,
    labels: Sequence[int],
    prototypes: Sequence[Sequence[float]],
    *,
    temperature: float,
    prototype_weight: float,
    prototype_share: float | None,
) -> float:
    rows = all_rows(features)
    classes = [Row(-1, k, vector) for k, vector in enumerate(prototypes)]

    def similarity(a: Row, b: Row) -> float:
        return dot(a, b) / temperature

    def log_ratio(anchor: Row, positive: Row, candidates: list[Row]) -> float:
        return similarity(anchor, positive) - math.log(sum(math.exp(similarity(anchor, c)) for c in candidates))

    anchored = []
    for anchor in rows:
        others = [row for row in rows if row is not anchor]
        own = [log_ratio(anchor, row, others + classes) for row in others if labels[row.image] == labels[anchor.image]]
        to_prototype = log_ratio(anchor, classes[labels[anchor.image]], others + classes)
        if prototype_share is None or not own:
            anchored.append(-mean([*own, to_prototype]))
        else:
            anchored.append(-prototype_share * to_prototype - (1 - prototype_share) * mean(own))
    of_prototypes = []
    for k in sorted(set(labels)):
        members = [row for row in rows if labels[row.image] == k]
        of_prototypes.append(-mean([log_ratio(classes[k], row, rows) for row in members]))
    return mean(anchored) + prototype_weight * mean(of_prototypes)
