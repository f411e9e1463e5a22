"""InfoNCE with drawn negatives by loops; the hash of the draws is written a second time, on Python's own integers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, mean


def _mixed(value: int) -> int:
    value ^= value >> 15
    value = value * 0x2C1B3C6D % 2**32
    value ^= value >> 12
    value = value * 0x297A2D39 % 2**32
    return value ^ (value >> 15)


def drawn(own: Sequence[float], number: int, candidates: Sequence[int], draws: Sequence[Sequence[float]]) -> int:
    """The candidate of choice `number` of an image with the numbers `own`: candidates stand in the order of theirs."""
    a, b, c = (int(value * 65536) for value in own[:3])
    key = _mixed(_mixed(a + 65536 * b) ^ c)
    uniform = (_mixed(_mixed((key + (number + 1) * 0x9E3779B9) % 2**32) ^ key)) / 2**32
    ordered = sorted(candidates, key=lambda image: [int(value * 65536) for value in draws[image][:3]])
    return ordered[int(uniform * len(ordered))]


def sampled_infonce(
    features: Features,
    labels: Sequence[int],
    draws: Sequence[Sequence[float]],
    *,
    negatives: int,
    positives: str,
    sampling: str,
    denominator: str,
    temperature: float,
) -> float:
    images, views = range(len(features)), len(features[0])
    losses = []
    for i in images:
        others = [j for j in images if j != i]
        allowed = others if sampling == "marginal" else [j for j in others if labels[j] != labels[i]]
        attracting = [j for j in others if labels[j] == labels[i]] if positives == "same_class" else [i]
        for view in range(views):
            if not allowed or not attracting:
                losses.append(0.0)
                continue
            partner = drawn(draws[i], 0, attracting, draws) if positives == "same_class" else i
            chosen = [drawn(draws[i], number, allowed, draws) for number in range(1, negatives + 1)]
            anchor, beside = features[i][view], (view + 1) % views
            own, *push = (math.exp(_cosine(anchor, features[j][beside]) / temperature) for j in (partner, *chosen))
            losses.append(math.log(sum(push) + (own if denominator == "with_positive" else 0.0)) - math.log(own))
    return mean(losses)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
