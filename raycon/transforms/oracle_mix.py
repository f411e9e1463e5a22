"""SelecMix with known bias labels: pairs that contradict the bias, without a network that guesses it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Fraction
from raycon.transforms.pairing import check_batch, choose_partners, mix_with_partners
from raycon.transforms.selecmix import own_shares
from raycon.whole_batch import whole_batch

Contradiction = Literal["positive", "negative"]


def contradicting(labels: Tensor, bias_labels: Tensor, kind: Contradiction) -> Tensor:
    """[N, N] bool: `positive` pairs have the same label and another bias label, `negative` pairs another label and the
    same bias label."""
    if kind not in ("positive", "negative"):
        raise ValueError(f"kind must be one of positive, negative, got {kind!r}")
    same_label = labels[:, None] == labels[None, :]
    same_bias = bias_labels[:, None] == bias_labels[None, :]
    return same_label & ~same_bias if kind == "positive" else ~same_label & same_bias


@whole_batch
def oracle_mix(
    views: Tensor,
    labels: Tensor,
    bias_labels: Tensor,
    draws: Tensor,
    *,
    contradicting_positive_share: Fraction = 0.5,
    largest_share: Fraction = 0.5,
) -> dict[str, Tensor]:
    """As `selecmix`, with partners drawn uniformly from all that contradict the bias labels: an upper bound for it.

    Source: Hwang et al. 2022 (SelecMix, arXiv 2211.02291), the variant of the authors' public code that is given bias
    labels; that takes the first partner of the batch (`choose_partners` with draws of 0).

    Args:
        views: [N, V, C, H, W].
        labels, bias_labels: [N] int64.
        draws: [N, 32] uniform in [0, 1); the coin is the first number of the batch's first image.
        contradicting_positive_share, largest_share: as in `selecmix`.

    Returns `mixed_views`, `mixed_labels`, `mixed_share` and `paired`, as `selecmix`.
    Degenerate: an image that finds no partner of the kind is left unmixed with its own label, share 1 and `paired` 0.
    Raises ValueError for wrong shapes.
    """
    check_batch(views, labels, bias_labels, draws)
    allowed = torch.where(
        draws[0, 0] < contradicting_positive_share,
        contradicting(labels, bias_labels, "positive"),
        contradicting(labels, bias_labels, "negative"),
    )
    partners = choose_partners(allowed, draws[:, 2])
    return mix_with_partners(views, labels, partners, own_shares(draws[:, 1], largest_share))
