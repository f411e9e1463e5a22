"""CutMix: a box of another image pasted in, the labels mixed by area."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.transforms.beta import beta_quantile
from raycon.transforms.boxes import box_mask
from raycon.transforms.mixup import next_in_a_circle
from raycon.transforms.pairing import check_batch
from raycon.whole_batch import whole_batch


@whole_batch
def cutmix(views: Tensor, labels: Tensor, draws: Tensor, *, alpha: Positive = 1.0) -> dict[str, Tensor]:
    """A box of another image of the batch in the same place of every view; labels count by what is left of the image.

    The box has sides sqrt(1 - w) of the image's, rounded down to even numbers of pixels, w ~ Beta(alpha, alpha), and a
    uniform centre; what lies beyond the border is cut off, and `mixed_share` is the area that was really kept.
    Source: Yun et al. 2019 (CutMix, arXiv 1905.04899), section 3.1. The authors' code draws one box for the batch and a
    permutation in which an image may meet itself; here the box is each image's own, and no image meets itself.

    Args:
        views: [N, V, C, H, W]; view v takes its box from the partner's view v.
        labels: [N] int64.
        draws: [N, 32] uniform in [0, 1).
        alpha: 1 (the authors') draws the area uniformly; about 0.3 to 1.

    Returns `mixed_views` of the shape of `views`, `mixed_labels` [N] and `mixed_share` [N].
    Degenerate: one image is its own partner and is left as it is. Raises ValueError for wrong shapes.
    """
    check_batch(views, labels, draws)
    height, width = views.shape[-2:]
    partners = next_in_a_circle(draws[:, 0])
    side = (1 - beta_quantile(draws[:, 1], alpha)).sqrt()
    top, bottom = _interval(draws[:, 2], side, height)
    left, right = _interval(draws[:, 3], side, width)
    inside = box_mask(top, bottom, left, right, height=height, width=width)
    return {
        "mixed_views": torch.where(inside[:, None, None], views[partners], views),
        "mixed_labels": labels[partners],
        "mixed_share": 1 - (bottom - top) * (right - left) / (height * width),
    }


def _interval(place: Tensor, side: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where a box begins and ends, cut at the border: whole numbers in the dtype of `place`."""
    centre = (place * length).floor()
    half = (side * length / 2).floor()
    return (centre - half).clamp(min=0), (centre + half).clamp(max=length)
