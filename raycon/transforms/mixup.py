"""Mixup: convex combinations of two images, and of their labels."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.transforms.beta import beta_quantile
from raycon.transforms.pairing import check_batch, mix_pairs
from raycon.whole_batch import whole_batch


def next_in_a_circle(draws: Tensor) -> Tensor:
    """A random partner for each row [N]: the rows are put in a circle in the order of `draws` [N], and each is given
    its successor. Every row is a partner once, and its own only in a batch of one."""
    order = draws.argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))


@whole_batch
def mixup(views: Tensor, labels: Tensor, draws: Tensor, *, alpha: Positive = 1.0) -> dict[str, Tensor]:
    """Every image mixed with another of the batch: w * view + (1 - w) * the partner's view of the same number.

    w ~ Beta(alpha, alpha), drawn for each image.
    Source: Zhang et al. 2018 (mixup, arXiv 1710.09412). The authors' code draws one w for the batch, and a permutation
    in which an image may meet itself; here w is each image's own, and no image is mixed with itself.

    Args:
        views: [N, V, C, H, W].
        labels: [N] int64.
        draws: [N, 32] uniform in [0, 1).
        alpha: small values leave one of the two images nearly alone; about 0.1 to 1.

    Returns `mixed_views` of the shape of `views`, `mixed_labels` [N] and `mixed_share` [N], the weight w.
    Degenerate: one image is its own partner and is left as it is. Raises ValueError for wrong shapes.
    """
    check_batch(views, labels, draws)
    partners, shares = next_in_a_circle(draws[:, 0]), beta_quantile(draws[:, 1], alpha)
    return {
        "mixed_views": mix_pairs(views, partners, shares),
        "mixed_labels": labels[partners],
        "mixed_share": shares,
    }
