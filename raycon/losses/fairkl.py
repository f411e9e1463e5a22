"""FairKL: similarities of pairs that agree in the bias are to be distributed as those of pairs that do not."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import NonNegative, Positive
from raycon.losses.similarity import not_self, one_of, positive, same_label, view_rows

Variant = Literal["kl", "jeffreys", "means", "moments", "reference"]
Groups = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def fairkl(
    features: Tensor,
    labels: Tensor,
    bias_labels: Tensor,
    *,
    variant: Variant = "kl",
    variance_floor: NonNegative = 1e-4,
    spread_weight: NonNegative = 1.0,
    temperature: Positive = 1.0,
) -> Tensor:
    """Regulariser that makes bias-aligned and bias-conflicting pairs alike; add it to a contrastive term.

    Pairs are positive (same label) or negative, aligned (same bias label) or conflicting; pooled over the batch as
    ordered pairs of two different images, all views. Aligned is matched with conflicting among the positives and among
    the negatives; the two parts are added. m, v: a group's mean and unbiased variance.
    `kl`: KL(aligned || conflicting) = 0.5 [ (v_a + (m_a - m_c)^2) / v_c - log(v_a / v_c) - 1 ], of squared distances.
    `jeffreys`: both directions of it added.  `means`: (m_a - m_c)^2, of squared distances.
    `moments`: (m_a - m_c)^2 + spread_weight (sd_a - sd_c)^2, of similarities <z_i, z_j> / temperature; our definition.
    `reference`: the authors' public code, which has no KL: see `_reference`.
    Source: Barbano et al. 2023 (arXiv 2211.05568), eq. 9 a to d, which states the conditions for each anchor; pooling
    over the batch and the square in `means` are our reading.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels, bias_labels: [N] int64.
        variant: which distance between the groups.
        variance_floor: added to every variance in `kl` and `jeffreys` (squared distances lie in 0 to 4). 0 is the plain
            formula, which is infinite when all pairs of a group are equally far apart.
        spread_weight: weight of the standard deviations in `moments` and `reference` (the authors' `kld`).
        temperature: divides the similarities in `moments` and `reference` (the authors: 1).

    Degenerate: a part counts only when both of its groups hold enough pairs, one for means, two (unordered) for
    variances; otherwise it is 0 without gradient. So a batch without conflicting pairs gives 0 (not in `reference`).
    Identical rows: 0. Raises ValueError for wrong shapes and for knobs outside what they may be.

    >>> import torch
    >>> rows = torch.ones(4, 1, 1)
    >>> fairkl(rows, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])).item()
    0.0
    """
    one_of(variant, Variant, "variant")
    positive(temperature)
    rows = view_rows(features, labels, bias_labels)
    if variant == "reference":
        return _reference(features[:, 0], labels, bias_labels, spread_weight, temperature)
    similarities = rows @ rows.T
    groups = _groups(
        labels, bias_labels, features.shape[1], not_self(features).repeat(features.shape[1], features.shape[1])
    )
    if variant == "moments":
        parts = [_moments(similarities / temperature, *pair, spread_weight) for pair in groups]
    else:
        lengths = similarities.diagonal()
        distances = lengths[:, None] + lengths[None, :] - 2 * similarities
        if variant == "means":
            parts = [_moments(distances, *pair, None) for pair in groups]
        else:
            parts = [_divergence(distances, *pair, variance_floor, variant == "jeffreys") for pair in groups]
    return parts[0] + parts[1]


def _groups(labels: Tensor, bias_labels: Tensor, views: int, counted: Tensor) -> Groups:
    """(aligned, conflicting) masks of the positive and of the negative pairs, [V*N, V*N] bool each."""
    alike, aligned = same_label(labels, views), same_label(bias_labels, views)
    return (
        (alike & aligned & counted, alike & ~aligned & counted),
        (~alike & aligned & counted, ~alike & ~aligned & counted),
    )


def _mean_and_variance(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance over the mask; 0 where there are too few values."""
    count = mask.sum()
    mean = values.masked_fill(~mask, 0.0).sum() / count.clamp(min=1)
    variance = (values - mean).square().masked_fill(~mask, 0.0).sum() / (count - 1).clamp(min=1)
    return mean, variance


def _enough(aligned: Tensor, conflicting: Tensor, pairs: int) -> Tensor:
    """Do both groups hold at least `pairs` unordered pairs? A bool scalar, without a synchronisation of the device."""
    return (aligned.sum() >= 2 * pairs) & (conflicting.sum() >= 2 * pairs)


def _root(variance: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite."""
    positive = variance > 0
    return variance.masked_fill(~positive, 1.0).sqrt().masked_fill(~positive, 0.0)


def _moments(values: Tensor, aligned: Tensor, conflicting: Tensor, spread_weight: float | None) -> Tensor:
    """Squared difference of the means, plus that of the standard deviations when a weight is given."""
    mean_a, variance_a = _mean_and_variance(values, aligned)
    mean_c, variance_c = _mean_and_variance(values, conflicting)
    part = (mean_a - mean_c).square().masked_fill(~_enough(aligned, conflicting, 1), 0.0)
    if spread_weight is None:
        return part
    spread = (_root(variance_a) - _root(variance_c)).square()
    return part + spread_weight * spread.masked_fill(~_enough(aligned, conflicting, 2), 0.0)


def _divergence(values: Tensor, aligned: Tensor, conflicting: Tensor, floor: float, both: bool) -> Tensor:
    """KL between normal distributions fitted to the two groups, aligned from conflicting; `both` adds the other one."""
    missing = ~_enough(aligned, conflicting, 2)
    mean_a, variance_a = _mean_and_variance(values, aligned)
    mean_c, variance_c = _mean_and_variance(values, conflicting)
    # The stand-in of 1 goes in before the logarithm: a zero variance would give NaN gradients even where masked later.
    variance_a = (variance_a + floor).masked_fill(missing, 1.0)
    variance_c = (variance_c + floor).masked_fill(missing, 1.0)
    gap = (mean_a - mean_c).square()
    part = ((variance_a + gap) / variance_c - (variance_a / variance_c).log() - 1) / 2
    if both:
        part = part + ((variance_c + gap) / variance_a - (variance_c / variance_a).log() - 1) / 2
    return part.masked_fill(missing, 0.0)


def _reference(rows: Tensor, labels: Tensor, bias_labels: Tensor, spread_weight: float, temperature: float) -> Tensor:
    """The authors' debiasing code, of the first view [N, D]: similarities of all ordered pairs, self pairs included.

    (m_pc - m_pa)^2 + (m_na - m_nc)^2 + spread_weight [ (sd_pa - sd_pc)^2 + (sd_na - sd_nc)^2 ] - m_pc + m_na, where an
    sd is taken over the whole N x N matrix with zeros in place of the other groups' entries, so that it depends on how
    frequent the group is. p, n: positive, negative; a, c: aligned, conflicting. An empty group has mean and sd 0.
    """
    similarities = rows @ rows.T / temperature
    positive, negative = _groups(labels, bias_labels, 1, torch.ones_like(similarities, dtype=torch.bool))
    everything = torch.ones_like(positive[0])
    means, spreads = [], []
    for mask in (*positive, *negative):
        means.append(_mean_and_variance(similarities, mask)[0])
        spreads.append(_root(_mean_and_variance(similarities.masked_fill(~mask, 0.0), everything)[1]))
    gaps = (means[0] - means[1]).square() + (means[2] - means[3]).square()
    spread_gaps = (spreads[0] - spreads[1]).square() + (spreads[2] - spreads[3]).square()
    return gaps + spread_weight * spread_gaps - means[1] + means[2]
