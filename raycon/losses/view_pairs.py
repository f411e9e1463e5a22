"""Which views meet where the two sides of a comparison come from different networks, or from a network and a queue."""

from __future__ import annotations

from torch import Tensor

from raycon.losses.similarity import view_rows


def pairs_of_views(online: Tensor, other: Tensor, name: str) -> list[tuple[int, int]]:
    """The pairs (view of `online` [N, V, D], view of `other` [N, M, D]) of different views, M at most V.

    `other` holds the first M views of the same images. Ordered by the view of `other`. Raises ValueError, with `name`
    for `other`, for shapes that do not fit, and for a single view, which meets no other.
    """
    view_rows(online, views=2)
    if other.ndim != 3 or (len(other), other.shape[2]) != (len(online), online.shape[2]):
        images, views, width = online.shape
        raise ValueError(f"{name} must be [{images}, 1 to {views}, {width}], got {list(other.shape)}")
    if not 1 <= other.shape[1] <= online.shape[1]:
        raise ValueError(f"{name} must be of 1 to {online.shape[1]} views, got {other.shape[1]}")
    return [(v, m) for m in range(other.shape[1]) for v in range(online.shape[1]) if v != m]
