"""Generalised cross entropy: it learns fastest what is already easy, which is how a network is drawn to a bias."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import Fraction


def box_cox(log_probabilities: Tensor, amplification: float) -> Tensor:
    """(1 - p^q) / q from log p, element by element; its limit -log p for q = 0.

    Its gradient is that of -log p times p^q: the more likely a pair or label already is, the more it counts. Raises
    ValueError for q outside [0, 1].
    """
    if not 0 <= amplification <= 1:
        raise ValueError(f"amplification must be from 0 to 1, got {amplification}")
    if amplification == 0:
        return -log_probabilities
    return -torch.expm1(amplification * log_probabilities) / amplification


def generalised_cross_entropy(logits: Tensor, labels: Tensor, *, amplification: Fraction = 0.7) -> Tensor:
    """Generalised cross entropy, between cross entropy (q = 0) and the mean absolute error (q = 1).

    Mean over views and images of  (1 - p_y^q) / q,  p = softmax(logits), q = amplification.
    Source: Zhang and Sabuncu 2018 (arXiv 1805.07836); as the loss of a biased network Nam et al. 2020 (Learning from
    Failure, arXiv 2007.02561), whose code has q times this gradient: `generalised_cross_entropy_reference`.

    Args:
        logits: [N, V, K].
        labels: [N] int64, below K.
        amplification: q, 0 to 1; about 0.3 to 0.9.

    Degenerate: none; one image is enough. q = 0 is cross entropy. Equal logits: (1 - K^-q) / q. Raises ValueError for
    wrong shapes.

    >>> import torch
    >>> generalised_cross_entropy(torch.zeros(3, 2, 4), torch.tensor([0, 1, 3]), amplification=1.0).item()
    0.75
    """
    return box_cox(_log_probabilities(logits, labels), amplification).mean()


def generalised_cross_entropy_reference(
    logits: Tensor, labels: Tensor, *, amplification: Fraction = 0.7, reduction: Literal["mean", "none"] = "mean"
) -> Tensor:
    """The loss exactly as public code for Learning from Failure and SelecMix computes it: for comparisons.

    The mean over rows, or with `none` each row's own, [N * V] in the order of `logits.flatten(0, 1)`, of
    -q p_y^q log p_y with q p_y^q taken as a constant. Its gradient is q
    times that of `generalised_cross_entropy`; its value is no loss that anything descends. Not a catalogue term.
    Source: Nam et al. 2020 (arXiv 2007.02561), `GeneralizedCELoss` of the authors' code.
    """
    log_probabilities = _log_probabilities(logits, labels)
    weights = amplification * (amplification * log_probabilities).exp().detach()
    losses = -weights * log_probabilities
    return losses.mean() if reduction == "mean" else losses


def _log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.ndim != 3 or logits.numel() == 0 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits must be [N, V, K] and labels [N], got {list(logits.shape)} and {list(labels.shape)}")
    targets = labels.repeat_interleave(logits.shape[1])
    return -functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
