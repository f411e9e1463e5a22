"""Cross entropy in which every image has a weight of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, labels: Tensor, sample_weights: Tensor) -> Tensor:
    """Mean over images of weight x cross entropy, the cross entropy being the mean over the image's views.

    1/N sum_i w_i (1/V) sum_v -log softmax(g_iv)_{y_i}: divided by N and not by the sum of the weights, so that a batch
    of images with small weights moves the network little.
    Source: Nam et al. 2020 (Learning from Failure, arXiv 2007.02561), the loss of the debiased network.

    Args:
        logits: [N, V, K].
        labels: [N] int64, below K.
        sample_weights: [N], 0 or more; networks that provide them give no gradient.

    Degenerate: none; one image is enough. All weights 1: plain cross entropy; all 0: 0. Raises ValueError for wrong
    shapes.

    >>> import torch
    >>> round(weighted_cross_entropy(torch.zeros(2, 1, 4), torch.tensor([0, 3]), torch.tensor([0.5, 1.5])).item(), 4)
    1.3863
    """
    if logits.ndim != 3 or logits.numel() == 0:
        raise ValueError(f"logits must be [N, V, K] and not empty, got {list(logits.shape)}")
    for values in (labels, sample_weights):
        if values.shape != logits.shape[:1]:
            raise ValueError(f"labels and sample_weights must be [{len(logits)}], got {list(values.shape)}")
    targets = labels.repeat_interleave(logits.shape[1])
    losses = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(len(logits), -1)
    return (sample_weights * losses.mean(dim=1)).mean()
