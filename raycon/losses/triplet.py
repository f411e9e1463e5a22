"""Triplet loss within a batch: all triplets, those that are violated, or the hardest of each anchor."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import NonNegative
from raycon.losses.similarity import distances, not_self, one_of, same_label, view_rows, zero_unless

Mining = Literal["hard", "all", "violated"]


def triplet(
    features: Tensor, labels: Tensor, *, margin: NonNegative = 0.2, mining: Mining = "violated", squared: bool = False
) -> Tensor:
    """A row shall be nearer to those of its class than to those of others, by a margin.

    With d the distances, P(a) the other rows of a's class, Q(a) the rows of other classes, h = max(0, .):
    hard: mean over a of  h( margin + max_P d_ap - min_Q d_an );
    all: mean over all triplets (a, p, n) of  h( margin + d_ap - d_an );  violated: the same over those above 0.
    Source: Schroff et al. 2015 (arXiv 1503.03832), which has squared distances, and Hermans et al. 2017 (arXiv
    1703.07737) for `hard`, with plain ones.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        margin: 0 to 2 (0 to 4 where squared); distances of unit rows end at 2.
        mining: `violated`, `all` or `hard`; `hard` may draw all rows to one point, where it stays at the margin.
        squared: squares the distances.

    Degenerate: with `hard` an anchor without a positive or without a negative contributes 0 and stays in the mean; a
    batch without any triplet gives 0. Identical rows of two classes: the margin where all anchors have a positive. The
    gradient of the distance of two rows that coincide is 0. Raises ValueError for wrong shapes.

    >>> import torch
    >>> alike = torch.ones(4, 1, 1)
    >>> round(triplet(alike, torch.tensor([0, 0, 1, 1])).item(), 4)  # the margin
    0.2
    """
    one_of(mining, Mining, "mining")
    rows, views = view_rows(features, labels), features.shape[1]
    apart = distances(rows).square() if squared else distances(rows)
    alike = same_label(labels, views)
    positives, negatives = alike & not_self(rows), ~alike
    if mining == "hard":
        limits = torch.finfo(rows.dtype)
        farthest = apart.masked_fill(~positives, limits.min).amax(dim=1)
        nearest = apart.masked_fill(~negatives, limits.max).amin(dim=1)
        return zero_unless(positives.any(1) & negatives.any(1), (margin + farthest - nearest).relu()).mean()
    hinges, violated = _hinges(margin + apart, apart.masked_fill(~negatives, math.inf))
    counted = violated if mining == "violated" else negatives.sum(dim=1, keepdim=True)
    return hinges.masked_fill(~positives, 0.0).sum() / (counted * positives).sum().clamp(min=1)


def _hinges(bounds: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """sum_n max(0, bound - far_n) for each bound of an anchor, and how many n it is above; all [A, A], a row an anchor.

    Sorted once, the far ones below a bound are the first ones, and their sum is a cumulative sum: no triplet is made.
    """
    ordered = far.sort(dim=1).values
    sums = torch.cat([ordered.new_zeros(len(ordered), 1), ordered.cumsum(dim=1)], dim=1)
    below = torch.searchsorted(ordered.detach(), bounds.detach())
    return below * bounds - sums.gather(1, below), below
