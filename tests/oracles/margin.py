"""Margin loss by loops over pairs: Wu et al. 2017, without its sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, mean


def margin(features: Features, labels: Sequence[int], *, gap: float, boundary: float) -> float:
    rows = all_rows(features)
    hinges = []
    for a in rows:
        for b in rows:
            if a is not b:
                sign = 1 if labels[a.image] == labels[b.image] else -1
                hinges.append(max(0.0, gap + sign * (math.dist(a.vector, b.vector) - boundary)))
    active = [hinge for hinge in hinges if hinge > 0]
    return mean(active) if active else 0.0
