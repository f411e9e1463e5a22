"""FairKL with continuous bias scores: how far two images agree in their bias is a number, not a yes or no."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import NonNegative, Positive, Share
from raycon.losses.similarity import not_self, one_of, positive, same_label, view_rows

ScoredVariant = Literal["kl", "jeffreys", "means", "moments"]


def fairkl_scores(
    features: Tensor,
    labels: Tensor,
    bias_features: Tensor,
    *,
    variant: ScoredVariant = "moments",
    threshold: Share = 0.0,
    variance_floor: NonNegative = 1e-4,
    spread_weight: NonNegative = 1.0,
    temperature: Positive = 1.0,
) -> Tensor:
    """`fairkl` without bias labels: a bias-capturing network says how aligned two images are.

    A pair counts as aligned with the weight w = max(0, c - threshold) / (1 - threshold), c the cosine of its two rows
    of `bias_features`, and as conflicting with 1 - w. With w_k the weights of a group's pairs and W = sum w_k:
    m = sum w_k x_k / W,  v = sum w_k (x_k - m)^2 / (W - sum w_k^2 / W),
    which are the mean and the unbiased variance of `fairkl` where all weights are 0 or 1, and so is then the loss.
    Source: Barbano et al. 2023 (arXiv 2211.05568), eq. 9, for what is compared. The paper says only that the score of a
    bias-capturing network can stand for bias labels; the soft weights are our reading of that, our own definition.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        bias_features: [N, V, D'], unit rows. Networks that provide them pass no gradient on.
        variant: as in `fairkl`, but for `reference`, which counts labels.
        threshold: the cosine from which on two images are aligned at all, 0 to below 1; about 0 to 0.8.
        variance_floor, spread_weight, temperature: as in `fairkl`.

    Degenerate: a part counts only when the weights of both of its groups add up to as many pairs as `fairkl` asks for,
    half an ordered pair less allowed; otherwise it is 0 without gradient. Identical bias features: 0. Identical
    features: 0. Raises ValueError for wrong shapes and for knobs outside what they may be.

    >>> import torch
    >>> rows = torch.eye(4).reshape(4, 1, 4)
    >>> fairkl_scores(rows, torch.tensor([0, 0, 1, 1]), rows).item()  # no pair is aligned
    0.0
    """
    one_of(variant, ScoredVariant, "variant")
    positive(temperature)
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be from 0 to below 1, got {threshold}")
    rows, bias_rows = view_rows(features, labels), view_rows(bias_features, labels)
    if len(rows) != len(bias_rows):
        raise ValueError(f"bias_features must be {list(features.shape[:2])} rows, got {list(bias_features.shape[:2])}")
    views = features.shape[1]
    aligned = ((bias_rows @ bias_rows.T - threshold) / (1 - threshold)).clamp(0, 1)
    counted = not_self(features).repeat(views, views)
    alike = same_label(labels, views)
    similarities = rows @ rows.T
    parts = []
    for kind in (alike & counted, ~alike & counted):
        groups = [weights.masked_fill(~kind, 0.0) for weights in (aligned, 1 - aligned)]
        if variant == "moments":
            parts.append(_moments(similarities / temperature, groups, spread_weight))
        elif variant == "means":
            parts.append(_moments(_squared_distances(similarities), groups, None))
        else:
            distances = _squared_distances(similarities)
            parts.append(_divergence(distances, groups, variance_floor, variant == "jeffreys"))
    return parts[0] + parts[1]


def _squared_distances(similarities: Tensor) -> Tensor:
    """Of rows, from all their inner products [A, A]."""
    lengths = similarities.diagonal()
    return lengths[:, None] + lengths[None, :] - 2 * similarities


def _mean_and_variance(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and unbiased variance; of no use, but finite, where the weights add up to too little."""
    total = weights.sum()
    divisor = total.clamp(min=0.5)
    mean = (weights * values).sum() / divisor
    variance = (weights * (values - mean).square()).sum()
    return mean, variance / (total - weights.square().sum() / divisor).clamp(min=0.5)


def _missing(groups: list[Tensor], pairs: int) -> Tensor:
    """Does a group hold fewer than `pairs` unordered pairs? Half an ordered one is left to rounding."""
    return (groups[0].sum() < 2 * pairs - 0.5) | (groups[1].sum() < 2 * pairs - 0.5)


def _root(variance: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite."""
    above = variance > 0
    return variance.masked_fill(~above, 1.0).sqrt().masked_fill(~above, 0.0)


def _moments(values: Tensor, groups: list[Tensor], spread_weight: float | None) -> Tensor:
    """Squared difference of the means, plus that of the standard deviations when a weight is given."""
    (mean_a, variance_a), (mean_c, variance_c) = (_mean_and_variance(values, weights) for weights in groups)
    part = (mean_a - mean_c).square().masked_fill(_missing(groups, 1), 0.0)
    if spread_weight is None:
        return part
    spread = (_root(variance_a) - _root(variance_c)).square()
    return part + spread_weight * spread.masked_fill(_missing(groups, 2), 0.0)


def _divergence(values: Tensor, groups: list[Tensor], floor: float, both: bool) -> Tensor:
    """KL between normal distributions fitted to the two groups, aligned from conflicting; `both` adds the other one."""
    missing = _missing(groups, 2)
    (mean_a, variance_a), (mean_c, variance_c) = (_mean_and_variance(values, weights) for weights in groups)
    # The stand-in of 1 goes in before the logarithm: a zero variance would give NaN gradients even where masked later.
    variance_a = (variance_a + floor).masked_fill(missing, 1.0)
    variance_c = (variance_c + floor).masked_fill(missing, 1.0)
    gap = torch.square(mean_a - mean_c)
    part = ((variance_a + gap) / variance_c - (variance_a / variance_c).log() - 1) / 2
    if both:
        part = part + ((variance_c + gap) / variance_a - (variance_c / variance_a).log() - 1) / 2
    return part.masked_fill(missing, 0.0)
