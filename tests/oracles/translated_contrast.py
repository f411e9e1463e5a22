"""Contrast of translated views by loops, from its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, all_rows, dot, mean


def _cosine(a: Row, b: Row) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def translated_contrast(
    translated_features: Features, labels: Sequence[int], *, temperature: float, positives: str
) -> float:
    rows = all_rows(translated_features)
    losses = []
    for anchor in rows:
        exponentials = {id(b): math.exp(_cosine(anchor, b) / temperature) for b in rows if b is not anchor}
        if positives == "label":
            chosen = [b for b in rows if b is not anchor and labels[b.image] == labels[anchor.image]]
        else:
            chosen = [b for b in rows if b is not anchor and b.image == anchor.image]
        ratios = []
        for own in chosen:
            total = sum(exponentials.values())
            if positives == "instance_single":
                total -= sum(exponentials[id(b)] for b in chosen if b is not own)
            ratios.append(-math.log(exponentials[id(own)] / total))
        losses.append(mean(ratios))
    return mean(losses)
