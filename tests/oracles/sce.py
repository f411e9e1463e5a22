"""Similarity contrastive estimation by loops: Denize et al. 2023 (SCE)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.rows import Features, mean

Vector = Sequence[float]


def sce(
    features: Features,
    momentum_features: Features,
    queue: Sequence[Vector],
    *,
    temperature: float,
    momentum_temperature: float,
    mixing: float,
    self_logit: str,
    candidates: str,
    symmetric: bool,
) -> float:
    losses = []
    for target_view in range(len(momentum_features[0]) if symmetric else 1):
        keys = [views[target_view] for views in momentum_features]
        for online_view in range(len(features[0])):
            if online_view == target_view:
                continue
            for image, key in enumerate(keys):
                others = [other for j, other in enumerate(keys) if j != image] if candidates == "keys_and_queue" else []
                others += list(queue)
                exponentials = [math.exp(_dot(key, other) / momentum_temperature) for other in others]
                own = 1.0 if self_logit == "zero" or not others else 0.0
                total = own + sum(exponentials)
                query = features[image][online_view]
                logits = [_dot(query, other) / temperature for other in [key, *others]]
                log_sum = math.log(sum(math.exp(logit) for logit in logits))
                weights = [mixing + (1 - mixing) * own / total]
                weights += [(1 - mixing) * exponential / total for exponential in exponentials]
                losses.append(sum(w * (log_sum - logit) for w, logit in zip(weights, logits, strict=True)))
    return mean(losses)


def _dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
