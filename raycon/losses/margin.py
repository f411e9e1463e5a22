"""Margin loss: a fixed boundary between the distances of one class and those of two."""

from __future__ import annotations

from torch import Tensor

from raycon.knobs import NonNegative, Positive
from raycon.losses.similarity import distances, not_self, same_label, view_rows


def margin(features: Tensor, labels: Tensor, *, gap: NonNegative = 0.2, boundary: Positive = 1.2) -> Tensor:
    """Pairs of a class shall be nearer than the boundary, other pairs farther, each by a gap.

    Sum over pairs of two rows of  max(0, gap + (d_ij - boundary))  where they have the same label, else
    max(0, gap - (d_ij - boundary)),  divided by the number of pairs above 0.
    Source: Wu et al. 2017 (arXiv 1706.07567), with one fixed boundary and all pairs of the batch: the paper also learns
    boundaries, and draws negatives by their distance, which is left out here.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        gap: 0 to 1; the paper's alpha.
        boundary: 0.2 to 1.8, a distance of unit rows; the paper's beta.

    Degenerate: no pair above 0, or a single row: 0. Identical rows of two classes: gap + boundary if gap <= boundary.
    The gradient of the distance of two rows that coincide is 0. Raises ValueError for wrong shapes.

    >>> import torch
    >>> round(margin(torch.ones(2, 1, 1), torch.tensor([0, 1])).item(), 4)  # gap + boundary
    1.4
    """
    rows = view_rows(features, labels)
    beyond = distances(rows) - boundary
    alike = same_label(labels, features.shape[1])
    hinges = (gap + beyond.where(alike, -beyond)).relu().masked_fill(~not_self(rows), 0.0)
    return hinges.sum() / (hinges > 0).sum().clamp(min=1)
