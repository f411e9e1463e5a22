"""Cross entropy of the linear classifier."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from raycon.knobs import Fraction


def cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: Fraction = 0.0) -> Tensor:
    """Cross entropy of each view against its image's label; mean over views and images.

    -sum_k t_k log softmax(logits)_k,  t = (1 - label_smoothing) one-hot(label) + label_smoothing / K.
    Source: the standard multinomial logistic loss; smoothing after Szegedy et al. 2016 (arXiv 1512.00567), section 7.

    Args:
        logits: [N, V, K].
        labels: [N] int64, below K.
        label_smoothing: 0 to 1.

    Degenerate: none; one image is enough. Equal logits: log K. Raises ValueError for wrong shapes.

    >>> import torch
    >>> round(cross_entropy(torch.zeros(3, 2, 4), torch.tensor([0, 1, 3])).item(), 4)  # log 4
    1.3863
    """
    if logits.ndim != 3 or logits.numel() == 0 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits must be [N, V, K] and labels [N], got {list(logits.shape)} and {list(labels.shape)}")
    flat = labels.repeat_interleave(logits.shape[1])
    return functional.cross_entropy(logits.flatten(0, 1), flat, label_smoothing=label_smoothing)
