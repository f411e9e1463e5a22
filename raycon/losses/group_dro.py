"""Distributionally robust optimisation over groups: the groups with the larger losses count for more."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from raycon.whole_batch import whole_batch


@whole_batch
def group_dro(logits: Tensor, labels: Tensor, groups: Tensor, group_weights: Tensor) -> Tensor:
    """The groups' cross entropies, weighted.

    sum_g w_g L_g,  L_g = mean cross entropy over the batch's images of group g and their views, 0 where there are none.
    The weights come from the network `group_weights`, which moves them by the same L_g before this loss is formed.
    Source: Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1. Their code adds the adjustment for small groups to the
    reported loss; it has no gradient and is left out here, see `group_dro_step`.

    Args:
        logits: [N, V, K].
        labels: [N] int64, below K.
        groups: [N] int64, below G; needs data.reveal: [groups].
        group_weights: [G], sum 1, without gradient.

    Degenerate: a group without an image contributes 0. One group: cross entropy. Raises ValueError for wrong shapes.

    >>> import torch
    >>> halves = torch.tensor([0.5, 0.5])
    >>> zero = torch.tensor([0, 0])
    >>> round(group_dro(torch.zeros(2, 1, 4), zero, zero, halves).item(), 4)  # log 4 / 2: the other group is absent
    0.6931
    """
    if logits.ndim != 3 or logits.numel() == 0 or labels.shape != logits.shape[:1] or groups.shape != labels.shape:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in (logits, labels, groups))
        raise ValueError(f"logits must be [N, V, K], labels and groups [N], got {shapes}")
    return (group_weights * group_losses(*flat_views(logits, labels, groups), len(group_weights))).sum()


def flat_views(logits: Tensor, labels: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [N, V, K] as rows [N*V, K], and the label and group of every row."""
    views = logits.shape[1]
    return logits.flatten(0, 1), labels.repeat_interleave(views), groups.repeat_interleave(views)


def group_losses(logits: Tensor, labels: Tensor, groups: Tensor, group_count: int) -> Tensor:
    """Mean cross entropy of each group [G], 0 for one without rows. logits: [n, K]; labels, groups: [n]."""
    losses = functional.cross_entropy(logits, labels, reduction="none")
    member = groups[:, None] == torch.arange(group_count, device=groups.device)
    return losses @ member.to(losses.dtype) / member.sum(dim=0).clamp(min=1)


def size_adjustments(group_counts: Tensor, size_adjustment: float) -> Tensor:
    """C / sqrt(n_g) for each group: what is added to the losses of small groups, which generalise worse; 0 for a group
    without training images. group_counts: floating [G]."""
    return (size_adjustment * group_counts.clamp(min=1).rsqrt()).masked_fill(group_counts == 0, 0.0)


def update_group_weights(log_weights: Tensor, losses: Tensor, *, step_size: float) -> Tensor:
    """The logarithms of the weights after a step of exponentiated gradient ascent, normalised: [G] -> [G].

    log w_g + step_size * L_g, less the log of their sum. The losses carry no gradient into the weights.
    """
    return (log_weights + step_size * losses.detach()).log_softmax(dim=0)


def group_dro_step(
    logits: Tensor,
    labels: Tensor,
    groups: Tensor,
    log_weights: Tensor,
    group_counts: Tensor,
    *,
    step_size: float,
    size_adjustment: float,
) -> tuple[Tensor, Tensor]:
    """One step of the authors' code: the loss, adjustment included, and the new logarithms of the weights.

    logits: [n, K]; labels, groups: [n]; log_weights, group_counts: [G].
    """
    losses = group_losses(logits, labels, groups, len(log_weights))
    losses = losses + size_adjustments(group_counts.to(losses.dtype), size_adjustment)
    log_weights = update_group_weights(log_weights, losses, step_size=step_size)
    return (log_weights.exp() * losses).sum(), log_weights


def largest_weight(logits: Tensor, labels: Tensor, groups: Tensor, group_weights: Tensor) -> Tensor:
    """The weight of the group that counts most: 1 / G at the start, 1 when one group has taken over."""
    return group_weights.amax()


def worst_loss(logits: Tensor, labels: Tensor, groups: Tensor, group_weights: Tensor) -> Tensor:
    """The largest mean loss of a group of the batch."""
    return group_losses(*flat_views(logits, labels, groups), len(group_weights)).amax()
