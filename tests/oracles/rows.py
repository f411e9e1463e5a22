"""What the oracles of pairwise losses count over: rows that know their image and view."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Features = Sequence[Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Row:
    image: int
    view: int
    vector: Sequence[float]


def all_rows(features: Features) -> list[Row]:
    return [Row(i, v, vector) for i, views in enumerate(features) for v, vector in enumerate(views)]


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a.vector, b.vector, strict=True))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def comparisons(features: Features, contrast: str) -> Iterator[tuple[Row, list[Row]]]:
    """Each anchor with its candidates."""
    rows = all_rows(features)
    for a in rows:
        if contrast == "all" or (contrast == "first_view" and a.view == 0):
            yield a, [b for b in rows if b is not a]
        if contrast in ("cross_view", "cross_view_one_way"):
            for view in range(len(features[0])):
                if view < a.view or (contrast == "cross_view" and view > a.view):
                    yield a, [b for b in rows if b.view == view]


def ratio_loss(positives: Sequence[float], negatives: Sequence[float], form: str, denominator: str) -> float:
    """Loss of one anchor from the exponentials of its positive and negative logits; 0 where it is not defined."""
    if not positives or (denominator == "negatives" and not negatives):
        return 0.0
    ratios = []
    for own in positives:
        total = sum(negatives)
        if denominator == "all":
            total += sum(positives)
        if denominator == "one_positive":
            total += own
        ratios.append(own / total)
    return -mean([math.log(ratio) for ratio in ratios]) if form == "out" else -math.log(mean(ratios))
