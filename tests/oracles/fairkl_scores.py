"""FairKL with continuous bias scores by loops, from its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, all_rows, dot

Weighted = list[tuple[float, float]]


def fairkl_scores(
    features: Features,
    labels: Sequence[int],
    bias_features: Features,
    *,
    variant: str,
    threshold: float,
    variance_floor: float,
    spread_weight: float,
    temperature: float,
) -> float:
    groups: dict[tuple[bool, bool], Weighted] = {(p, a): [] for p in (True, False) for a in (True, False)}
    rows, bias_rows = all_rows(features), all_rows(bias_features)
    for a, bias_a in zip(rows, bias_rows, strict=True):
        for b, bias_b in zip(rows, bias_rows, strict=True):
            if a.image == b.image:
                continue
            distance = sum((x - y) ** 2 for x, y in zip(a.vector, b.vector, strict=True))
            value = dot(a, b) / temperature if variant == "moments" else distance
            weight = min(1.0, max(0.0, dot(bias_a, bias_b) - threshold) / (1 - threshold))
            alike = labels[a.image] == labels[b.image]
            groups[alike, True].append((weight, value))
            groups[alike, False].append((1 - weight, value))
    total = 0.0
    for alike in (True, False):
        aligned, conflicting = groups[alike, True], groups[alike, False]
        pairs = min(_total(aligned), _total(conflicting))
        if variant in ("means", "moments") and pairs >= 1.5:
            total += (_mean(aligned) - _mean(conflicting)) ** 2
        if pairs < 3.5:
            continue
        if variant == "moments":
            gap = math.sqrt(_variance(aligned)) - math.sqrt(_variance(conflicting))
            total += spread_weight * gap**2
        if variant in ("kl", "jeffreys"):
            total += _divergence(aligned, conflicting, variance_floor)
        if variant == "jeffreys":
            total += _divergence(conflicting, aligned, variance_floor)
    return total


def _total(group: Weighted) -> float:
    return sum(weight for weight, _ in group)


def _mean(group: Weighted) -> float:
    return sum(weight * value for weight, value in group) / _total(group)


def _variance(group: Weighted) -> float:
    middle = _mean(group)
    squares = sum(weight**2 for weight, _ in group)
    deviations = sum(weight * (value - middle) ** 2 for weight, value in group)
    return deviations / (_total(group) - squares / _total(group))


def _divergence(first: Weighted, second: Weighted, floor: float) -> float:
    v1, v2 = _variance(first) + floor, _variance(second) + floor
    return 0.5 * ((v1 + (_mean(first) - _mean(second)) ** 2) / v2 - math.log(v1 / v2) - 1)
