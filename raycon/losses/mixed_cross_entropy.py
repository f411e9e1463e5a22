"""Cross entropy of mixed images, which have two labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def mixed_cross_entropy(mixed_logits: Tensor, labels: Tensor, mixed_labels: Tensor, mixed_share: Tensor) -> Tensor:
    """The cross entropies against both labels of a mixed image, weighted by what each image brought in.

    Mean over images and views of  -w log softmax(g)_y - (1 - w) log softmax(g)_y',  w = mixed_share.
    Source: Zhang et al. 2018 (mixup, arXiv 1710.09412); Yun et al. 2019 (CutMix, arXiv 1905.04899).

    Args:
        mixed_logits: [N, V, K].
        labels: [N] int64, the image's own label y.
        mixed_labels: [N] int64, the label y' of the image mixed in.
        mixed_share: [N], w between 0 and 1.

    Degenerate: none; one image is enough. w = 1 is plain cross entropy. Equal logits: log K. Raises ValueError for
    wrong shapes.

    >>> import torch
    >>> own, other = torch.tensor([0, 1]), torch.tensor([1, 1])
    >>> round(mixed_cross_entropy(torch.zeros(2, 1, 4), own, other, torch.tensor([0.2, 0.5])).item(), 4)  # log 4
    1.3863
    """
    if mixed_logits.ndim != 3 or mixed_logits.numel() == 0:
        raise ValueError(f"mixed_logits must be [N, V, K] and not empty, got {list(mixed_logits.shape)}")
    for values in (labels, mixed_labels, mixed_share):
        if values.shape != mixed_logits.shape[:1]:
            raise ValueError(f"labels and shares must be [{len(mixed_logits)}], got {list(values.shape)}")
    flat, views = mixed_logits.flatten(0, 1), mixed_logits.shape[1]
    own, other = (
        functional.cross_entropy(flat, target.repeat_interleave(views), reduction="none").view(-1, views).mean(dim=1)
        for target in (labels, mixed_labels)
    )
    return (mixed_share * own + (1 - mixed_share) * other).mean()
