"""SelecMix: mixing pairs that contradict the bias, found by a network that is drawn to it."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Fraction
from raycon.transforms.pairing import check_batch, mix_with_partners
from raycon.whole_batch import whole_batch


def contradicting_positives(similarity: Tensor, labels: Tensor) -> Tensor:
    """For each image the least similar other image of its label [N], -1 where there is none.

    similarity: [N, N] of biased features; labels: [N]. Of equals the first.
    """
    other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return _first_least(similarity, (labels[:, None] == labels[None, :]) & other)


def contradicting_negatives(similarity: Tensor, labels: Tensor) -> Tensor:
    """For each image the most similar image of another label [N], -1 where there is none.

    similarity: [N, N] of biased features; labels: [N]. Of equals the first.
    """
    return _first_least(-similarity, labels[:, None] != labels[None, :])


def own_shares(draws: Tensor, largest_share: float) -> Tensor:
    """The image's own weight, uniform from 0 to `largest_share`: draws [N] in [0, 1) -> [N]."""
    return draws * largest_share


@whole_batch
def selecmix(
    views: Tensor,
    labels: Tensor,
    bias_features: Tensor,
    draws: Tensor,
    *,
    contradicting_positive_share: Fraction = 0.5,
    largest_share: Fraction = 0.5,
) -> dict[str, Tensor]:
    """Every image mixed with one that contradicts the bias; the result bears the partner's label.

    One coin for the whole batch decides between contradicting positives (the same label, biased features least alike)
    and contradicting negatives (another label, biased features most alike). Mixed: w * view + (1 - w) * the partner's
    view of the same number, w uniform in (0, largest_share) for each image; `mixed_labels` are the partners'.
    Source: Hwang et al. 2022 (SelecMix, arXiv 2211.02291) and the authors' public code. That multiplies similarities by
    the mask of allowed pairs, and so may pair an image with itself or with one of the wrong label; here forbidden pairs
    are left out.

    Args:
        views: [N, V, C, H, W].
        labels: [N] int64.
        bias_features: [N, V, D] unit rows; images are compared by the mean over their views.
        draws: [N, 32] uniform in [0, 1); the coin is the first number of the batch's first image.
        contradicting_positive_share: how often the coin says contradicting positives; 0 to 1, authors 0.5.
        largest_share: the image's own weight stays below it; authors 0.5.

    Returns `mixed_views` of the shape of `views`, and `mixed_labels`, `mixed_share` (the weight w of the image's own
    pixels; the authors give its label none) and `paired`, all [N].
    Degenerate: an image that finds no partner of the kind is left unmixed with its own label, share 1 and `paired` 0.
    Raises ValueError for wrong shapes.
    """
    check_batch(views, labels, bias_features, draws)
    similarity = _similarity(bias_features)
    partners = torch.where(
        draws[0, 0] < contradicting_positive_share,
        contradicting_positives(similarity, labels),
        contradicting_negatives(similarity, labels),
    )
    return mix_with_partners(views, labels, partners, own_shares(draws[:, 1], largest_share))


def _similarity(features: Tensor) -> Tensor:
    """[N, N] inner products of the means over views, in full precision: rounding would make ties."""
    centres = features.detach().mean(dim=1)
    kind = centres.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return centres @ centres.T
    with torch.autocast(kind, enabled=False):
        return centres @ centres.T


def _first_least(values: Tensor, allowed: Tensor) -> Tensor:
    """The first column that has the row's smallest value among those `allowed`, -1 for a row that has none."""
    least = values.masked_fill(~allowed, torch.inf).amin(dim=1, keepdim=True)
    columns = torch.arange(values.shape[1], device=values.device)
    found = columns.masked_fill(~(allowed & (values == least)), values.shape[1]).amin(dim=1)
    return torch.where(allowed.any(dim=1), found, -1)
