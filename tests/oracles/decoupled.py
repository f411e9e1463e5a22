"""The decoupled loss by loops: Yeh et al. 2022, negatives being all rows of other images."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.oracles.rows import Features, all_rows, dot, mean


def decoupled(features: Features, *, temperature: float, contrast: str, over_views: str) -> float:
    return decoupled_with_weights(
        features, lambda _image, _view, _other: 1.0, temperature=temperature, contrast=contrast, over_views=over_views
    )


def decoupled_with_weights(
    features: Features,
    weight: Callable[[int, int, int], float],
    *,
    temperature: float,
    contrast: str,
    over_views: str,
) -> float:
    """`weight` (image, its view, the other view) multiplies the attraction of two views."""
    rows = all_rows(features)
    of_views = []
    for view in range(1 if contrast == "first_view" else len(features[0])):
        losses = []
        for anchor in (row for row in rows if row.view == view):
            own = [other for other in rows if other.image == anchor.image and other.view != view]
            pull = mean([weight(anchor.image, view, o.view) * dot(anchor, o) / temperature for o in own])
            push = sum(math.exp(dot(anchor, other) / temperature) for other in rows if other.image != anchor.image)
            losses.append(math.log(push) - pull if push else 0.0)
        of_views.append(mean(losses))
    return sum(of_views) if over_views == "sum" else mean(of_views)
