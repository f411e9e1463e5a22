"""Universum images: each image mixed with one of another class, so that the result belongs to neither."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Fraction
from raycon.transforms.boxes import box_mask
from raycon.transforms.pairing import check_batch, choose_partners
from raycon.whole_batch import whole_batch

Mix = Literal["mixup", "cutmix"]


def mix_universum(images: Tensor, partners: Tensor, share: float) -> Tensor:
    """share * partner's image + (1 - share) * image.

    images: [M, C, H, W]. partners: [M] row numbers; an image that is its own partner comes back as it is.
    """
    return images + share * (images[partners] - images)


@whole_batch
def universum(
    views: Tensor, labels: Tensor, draws: Tensor, *, share: Fraction = 0.5, mix: Mix = "mixup"
) -> dict[str, Tensor]:
    """Every view mixed with view 0 of an image of another class, drawn uniformly from the whole batch.

    mixup: share * partner + (1 - share) * view. cutmix: a box of the view, 1 - share of the area, pasted into the
    partner; it lies wholly inside the image, at a place of its own for each view.
    Source: Han, Geng and Chen 2023 (UniCon, arXiv 2204.10695), the authors' public code `get_universum`; that draws
    one box for the whole batch, cut at the border, until the partner keeps 45 to 55 % of the area.

    Args:
        views: [N, V, C, H, W]; V up to 10 with cutmix (three draws a view), up to 32 with mixup.
        labels: [N] int64.
        draws: [N, 32] uniform in [0, 1).
        share: the weight of the image of the other class; authors: 0.5; about 0.3 to 0.7.
        mix: `mixup` or `cutmix`.

    Returns `universum_views` of the shape of `views`, and `paired` [N], 1 where another class was there to mix with.
    Degenerate: an image of a batch of one class finds no partner, is left unmixed, and has `paired` 0; the authors'
    code stops with an error. Raises ValueError for wrong shapes, too many views, or another mix.
    """
    check_batch(views, labels, draws)
    images, count = views.shape[:2]
    needed = count if mix == "mixup" else 3 * count
    if mix not in ("mixup", "cutmix"):
        raise ValueError(f"mix must be one of mixup, cutmix, got {mix!r}")
    if needed > draws.shape[1]:
        raise ValueError(f"{mix} of {count} views needs {needed} random numbers an image, there are {draws.shape[1]}")
    # Rows are view-major, so that the first N of them are the views 0 that partners come from.
    rows = views.transpose(0, 1).flatten(0, 1)
    other = labels[:, None] != labels[None, :]
    found = [choose_partners(other, draws[:, view]) for view in range(count)]
    chosen, own = torch.cat(found), torch.arange(len(rows), device=rows.device)
    partners = torch.where(chosen < 0, own, chosen)
    if mix == "mixup":
        mixed = mix_universum(rows, partners, share)
    else:
        places = draws[:, count:needed].view(images, 2, count).permute(1, 2, 0).flatten(1)
        mixed = _paste_boxes(rows, rows[partners], share, places)
    universum_views = mixed.reshape(count, images, *views.shape[2:]).transpose(0, 1)
    return {"universum_views": universum_views, "paired": (found[0] >= 0).to(views.dtype)}


def _paste_boxes(images: Tensor, others: Tensor, share: float, places: Tensor) -> Tensor:
    """A box of each image, 1 - share of its area, in the other image. places: [2, M] uniform in [0, 1)."""
    height, width = images.shape[-2:]
    side = math.sqrt(1 - share)
    tall, wide = round(height * side), round(width * side)
    top = (places[0] * (height - tall + 1)).floor().clamp(max=height - tall)
    left = (places[1] * (width - wide + 1)).floor().clamp(max=width - wide)
    inside = box_mask(top, top + tall, left, left + wide, height=height, width=width)
    return torch.where(inside[:, None], images, others)
