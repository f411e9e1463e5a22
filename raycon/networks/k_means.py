"""Clusters of a training set: whitening to fewer dimensions, and k-means. Small, seeded, on whatever device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Start = Literal["plus_plus", "random"]

ROWS_AT_ONCE = 8192
"""So many rows are compared with all centres at a time: the distances of a large set would fill the memory."""

SMALLEST_VARIANCE = 1e-6
"""Directions of less than this share of the largest variance are dropped: whitening would blow their rounding up."""


def whiten(rows: Tensor, dimensions: int) -> Tensor:
    """Rows [n, E] -> unit rows [n, min(dimensions, E)] in float64: the leading principal components, each divided by
    its standard deviation, and then every row by its length. Rows that are all equal become zeros."""
    centred = rows.double() - rows.double().mean(dim=0)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(rows))
    kept = variances[-dimensions:]
    scale = torch.where(kept > SMALLEST_VARIANCE * variances[-1], kept.clamp(min=0).rsqrt(), 0.0)
    return functional.normalize(centred @ (directions[:, -dimensions:] * scale), dim=1)


def k_means(
    rows: Tensor, clusters: int, *, generator: torch.Generator, iterations: int = 20, start: Start = "plus_plus"
) -> Tensor:
    """The cluster of each row, int64 [n], after so many rounds of Lloyd's algorithm.

    start: `plus_plus` draws each first centre in proportion to the squared distance from those before it (Arthur and
    Vassilvitskii 2007); `random` takes different rows. A cluster that has run empty starts anew at the row that is
    farthest from its centre; the last round may leave one empty. Raises ValueError for more clusters than rows.
    """
    if not 1 <= clusters <= len(rows):
        raise ValueError(f"{len(rows)} images cannot form {clusters} clusters")
    if start == "plus_plus":
        centres = _plus_plus(rows, clusters, generator)
    else:
        centres = rows[torch.randperm(len(rows), generator=generator)[:clusters].to(rows.device)]
    for _ in range(iterations):
        nearest, distances = _nearest(rows, centres)
        centres = _middles(rows, nearest, distances, clusters)
    return _nearest(rows, centres)[0]


def _plus_plus(rows: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    draws = torch.rand(clusters, generator=generator, dtype=torch.float64).to(rows.device)
    chosen = [(draws[:1] * len(rows)).long().clamp(max=len(rows) - 1)]
    distances = (rows - rows[chosen[0]]).square().sum(dim=1)
    for draw in draws[1:]:
        reached = distances.cumsum(dim=0)
        row = torch.searchsorted(reached, draw.reshape(1) * reached[-1], right=True).clamp(max=len(rows) - 1)
        chosen.append(row)
        distances = torch.minimum(distances, (rows - rows[row]).square().sum(dim=1))
    return rows[torch.cat(chosen)]


def _nearest(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row, the first of several, and the squared distance from it."""
    found: list[tuple[Tensor, Tensor]] = []
    for part in torch.split(rows, ROWS_AT_ONCE):
        products = part @ centres.T
        squares = part.square().sum(dim=1, keepdim=True) - 2 * products + centres.square().sum(dim=1)
        smallest, place = squares.min(dim=1)
        found.append((place, smallest.clamp(min=0)))
    return torch.cat([place for place, _ in found]), torch.cat([distance for _, distance in found])


def _middles(rows: Tensor, nearest: Tensor, distances: Tensor, clusters: int) -> Tensor:
    """The mean of each cluster; for the empty ones the rows that are farthest from where they belong."""
    counts = torch.bincount(nearest, minlength=clusters)
    sums = rows.new_zeros(clusters, rows.shape[1]).index_add_(0, nearest, rows)
    centres = sums / counts.clamp(min=1)[:, None]
    empty = (counts == 0).nonzero()[:, 0]
    centres[empty] = rows[distances.topk(len(empty)).indices]
    return centres
