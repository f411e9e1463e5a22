"""FairKL by loops: Barbano et al. 2023, eq. 9, its public code, and the moments variant from its definition."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tests.oracles.rows import Features, Row, all_rows, dot, mean


def fairkl(
    features: Features,
    labels: Sequence[int],
    bias_labels: Sequence[int],
    *,
    variant: str,
    variance_floor: float,
    spread_weight: float,
    temperature: float,
) -> float:
    if variant == "reference":
        return _reference(features, labels, bias_labels, spread_weight, temperature)
    groups: dict[tuple[bool, bool], list[float]] = {(p, a): [] for p in (True, False) for a in (True, False)}
    rows = all_rows(features)
    for a in rows:
        for b in rows:
            if a.image != b.image:
                value = dot(a, b) / temperature if variant == "moments" else _squared_distance(a, b)
                alike, aligned = labels[a.image] == labels[b.image], bias_labels[a.image] == bias_labels[b.image]
                groups[alike, aligned].append(value)
    total = 0.0
    for alike in (True, False):
        aligned_values, conflicting_values = groups[alike, True], groups[alike, False]
        if variant in ("means", "moments") and aligned_values and conflicting_values:
            total += (mean(aligned_values) - mean(conflicting_values)) ** 2
        if min(len(aligned_values), len(conflicting_values)) < 4:
            continue
        if variant == "moments":
            gap = statistics.stdev(aligned_values) - statistics.stdev(conflicting_values)
            total += spread_weight * gap**2
        if variant in ("kl", "jeffreys"):
            total += _divergence(aligned_values, conflicting_values, variance_floor)
        if variant == "jeffreys":
            total += _divergence(conflicting_values, aligned_values, variance_floor)
    return total


def _squared_distance(a: Row, b: Row) -> float:
    return sum((x - y) ** 2 for x, y in zip(a.vector, b.vector, strict=True))


def _divergence(first: Sequence[float], second: Sequence[float], floor: float) -> float:
    v1, v2 = statistics.variance(first) + floor, statistics.variance(second) + floor
    return 0.5 * ((v1 + (mean(first) - mean(second)) ** 2) / v2 - math.log(v1 / v2) - 1)


def _reference(
    features: Features,
    labels: Sequence[int],
    bias_labels: Sequence[int],
    spread_weight: float,
    temperature: float,
) -> float:
    rows = [row for row in all_rows(features) if row.view == 0]
    means, spreads = {}, {}
    for alike in (True, False):
        for aligned in (True, False):
            chosen, matrix = [], []
            for a in rows:
                for b in rows:
                    inside = (labels[a.image] == labels[b.image]) is alike
                    inside = inside and (bias_labels[a.image] == bias_labels[b.image]) is aligned
                    value = dot(a, b) / temperature
                    matrix.append(value if inside else 0.0)
                    chosen += [value] if inside else []
            means[alike, aligned] = mean(chosen) if chosen else 0.0
            spreads[alike, aligned] = statistics.stdev(matrix) if len(matrix) > 1 else 0.0
    total = means[False, True] - means[True, False]
    for alike in (True, False):
        total += (means[alike, True] - means[alike, False]) ** 2
        total += spread_weight * (spreads[alike, True] - spreads[alike, False]) ** 2
    return total
