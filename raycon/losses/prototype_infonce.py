"""InfoNCE that knows prototypes: it counts the false negatives among its negatives, and can leave them out."""

from __future__ import annotations

from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import log_ratio_loss, not_self, positive, same_image, same_label, view_rows


def prototype_infonce(
    features: Tensor, assignments: Tensor, *, temperature: Positive = 0.5, mask_same_prototype: bool = False
) -> Tensor:
    """InfoNCE over views, with or without the negatives that share the anchor's prototype.

    With s_ab = <z_a, z_b> / temperature, mean over anchors a and the other views p of a's image of
    -s_ap + log sum_b e^{s_ab}; b runs over the other views of a's image and all views of the other images, or, with
    `mask_same_prototype`, of those other images alone whose prototype is another. Without it this is `infonce`.
    Beside the value `false_negatives` is logged: the share of pairs of different images that have one prototype.
    Source: Chen et al. 2020 (SimCLR, arXiv 2002.05709), eq. 1. The mask is our own ablation: Siamese Prototypical
    Contrastive Learning (Mo, Sun and Li, arXiv 2208.08819) keeps such negatives, and counters them by its metric.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        assignments: [N] int64. Given `labels` instead, the true false negatives are counted, and masked.
        temperature: divides the inner products; about 0.07 to 1.
        mask_same_prototype: leave same-prototype negatives out.

    Degenerate: an anchor without negatives gives log(V - 1), which is 0 for two views. Identical rows, unmasked:
    log(VN - 1). Raises ValueError for a single view, wrong shapes, or a temperature that is not above 0.

    >>> import torch
    >>> rows = torch.eye(2).reshape(2, 1, 2).expand(2, 2, 2)
    >>> round(prototype_infonce(rows, torch.tensor([0, 1]), temperature=1.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    """
    rows = view_rows(features, assignments, views=2)
    views = features.shape[1]
    own = same_image(features).repeat(views, views)
    alike = same_label(assignments, views) if mask_same_prototype else own
    return log_ratio_loss(rows @ rows.T / positive(temperature), own & not_self(rows), ~alike).mean()


def false_negatives(features: Tensor, assignments: Tensor) -> Tensor:
    """The share of ordered pairs of different images that have one prototype. One image alone: 0."""
    pairs = not_self(assignments)
    alike = (same_label(assignments) & pairs).sum()
    return alike.to(features.dtype) / pairs.sum().clamp(min=1)
