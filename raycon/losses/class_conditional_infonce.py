"""Class-conditional InfoNCE: within a class, an image is told from the others, so that classes do not collapse."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import masked_logsumexp, same_label, view_rows
from raycon.losses.supcon import cross_view_logits


def class_conditional_infonce(
    features: Tensor, labels: Tensor, *, temperature: Positive = 0.1, symmetric: bool = True
) -> Tensor:
    """Class-conditional InfoNCE, the part of Perfectly Balanced that spreads each class.

    For each ordered pair of views, anchor i in one and the images j of its class in the other, i itself included:
    mean over i of  -n_ii + log sum_{j: y_j = y_i} e^{n_ij},  n_ij = <z_i, z'_j> / temperature;  mean over the pairs.
    Added to `supcon` with `denominator: one_positive`, `contrast: cross_view` and weights 1 - alpha and alpha it is the
    spread loss of the paper (`spread` is the sum as one term).
    Source: Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596), the class-conditional InfoNCE loss L_cNCE.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        labels: [N] int64.
        temperature: divides the inner products; about 0.05 to 0.5.
        symmetric: both directions of each pair of views; False takes anchors of the later view only, as the authors do.

    Degenerate: an image alone in its class contributes exactly 0. Identical rows: the mean over images of the log of
    their class's size in the batch. Raises ValueError for a single view.

    >>> import torch
    >>> rows = torch.ones(4, 2, 1)
    >>> round(class_conditional_infonce(rows, torch.tensor([0, 0, 1, 1])).item(), 4)  # log 2
    0.6931
    """
    view_rows(features, labels, views=2)
    alike = same_label(labels)
    losses = [
        (masked_logsumexp(logits, alike)[:, 0] - logits.diagonal()).mean()
        for logits in cross_view_logits(features, temperature, one_way=not symmetric)
    ]
    return torch.stack(losses).mean()
