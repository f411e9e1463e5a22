"""Triplet loss by loops over triplets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, mean


def triplet(features: Features, labels: Sequence[int], *, margin: float, mining: str, squared: bool) -> float:
    rows = all_rows(features)
    hardest, hinges = [], []
    for anchor in rows:
        near, far = [], []
        for other in rows:
            apart = math.dist(anchor.vector, other.vector) ** (2 if squared else 1)
            if labels[other.image] != labels[anchor.image]:
                far.append(apart)
            elif other is not anchor:
                near.append(apart)
        hardest.append(max(0.0, margin + max(near) - min(far)) if near and far else 0.0)
        hinges += [max(0.0, margin + p - n) for p in near for n in far]
    if mining == "hard":
        return mean(hardest)
    if mining == "violated":
        hinges = [hinge for hinge in hinges if hinge > 0]
    return mean(hinges) if hinges else 0.0
