"""Cross entropy whose logits are compensated for the frequency of the classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from raycon.knobs import NonNegative


def logit_adjusted_cross_entropy(
    logits: Tensor, labels: Tensor, class_frequencies: Tensor, *, strength: NonNegative = 1.0
) -> Tensor:
    """Cross entropy after the log of each class's share was added to its logits; mean over views and images.

    -log softmax(logits + strength * log f)_y,  f the shares of the classes among the training images. A classifier that
    is trained so does not need the adjustment when all classes matter equally.
    Source: logit adjustment as in the code of Zhu et al. 2022 (arXiv 2207.09052), who call it logit compensation.

    Args:
        logits: [N, V, K].
        labels: [N] int64, below K.
        class_frequencies: [K], sum 1; the network `class_frequencies` counts them.
        strength: 0 (plain cross entropy) to 2; 1 is the prior itself.

    Degenerate: one image is enough. A class of share 0 takes no part, unless strength is 0. Equal logits and shares:
    log K. Raises ValueError for wrong shapes.

    >>> import torch
    >>> shares = torch.tensor([0.75, 0.25])
    >>> round(logit_adjusted_cross_entropy(torch.zeros(1, 1, 2), torch.tensor([1]), shares).item(), 4)  # log 4
    1.3863
    """
    if logits.ndim != 3 or logits.numel() == 0 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits must be [N, V, K] and labels [N], got {list(logits.shape)} and {list(labels.shape)}")
    flat = labels.repeat_interleave(logits.shape[1])
    return adjusted_cross_entropy(logits.flatten(0, 1), flat, class_frequencies, strength=strength)


def adjusted_cross_entropy(
    logits: Tensor, labels: Tensor, class_counts: Tensor, *, strength: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """The loss of rows, from counts or shares of the classes, with a weight for each class if wanted.

    logits: [n, K]. labels: [n]. class_counts: [K], of any sum. weight: [K]; the losses' mean is then weighted by that
    of each row's class. Raises ValueError for another number of classes.
    """
    if class_counts.shape != logits.shape[1:]:
        raise ValueError(f"there must be {logits.shape[1]} class frequencies, got {list(class_counts.shape)}")
    if strength:  # 0 * log 0 would be no number
        shares = class_counts.to(logits.dtype) / class_counts.sum()
        logits = logits + strength * shares.log()
    return functional.cross_entropy(logits, labels, weight=weight)
