"""Decoupled contrastive loss: InfoNCE without the positive in its denominator, plain and weighted."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import masked_logsumexp, one_of, positive, same_image, view_rows, zero_unless
from raycon.losses.supcon import RowContrast

OverViews = Literal["mean", "sum"]
WeightGradient = Literal["flow", "detach"]


def decoupled(
    features: Tensor,
    *,
    temperature: Positive = 0.1,
    contrast: RowContrast = "all",
    over_views: OverViews = "mean",
) -> Tensor:
    """Decoupled contrastive loss (DCL; not the debiased one, which goes by the same letters).

    With s_ab = <z_a, z_b> / temperature, P(a) the other views of a's image, Q(a) all rows of other images: mean over
    anchors a of  -mean_{p in P(a)} s_ap + log sum_{q in Q(a)} e^{s_aq}. The loss has no lower bound of 0.
    Source: Yeh et al. 2022 (Decoupled Contrastive Learning, arXiv 2110.06848), for two views; more views are ours:
    every other view attracts, all views of other images repel.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        temperature: divides the inner products; about 0.05 to 0.5.
        contrast: `all` takes every row as an anchor; `first_view` only those of view 0: one direction of two views.
        over_views: `mean` over the anchors' views, or their `sum`, which some public code trains with: V times the
            loss, and so V times the step of plain gradient descent.

    Degenerate: one image has no negatives and gives 0. Identical rows: log(V(N - 1)).
    Raises ValueError for a single view.

    >>> import torch
    >>> rows = torch.eye(2).reshape(2, 1, 2).expand(2, 2, 2)
    >>> round(decoupled(rows, temperature=1.0).item(), 4)  # log(2) - 1
    -0.3069
    """
    similarities = _between_views(features)
    return _decoupled(features, similarities, temperature, contrast, over_views)


def decoupled_weighted(
    features: Tensor,
    *,
    temperature: Positive = 0.1,
    sigma: Positive = 0.5,
    contrast: RowContrast = "all",
    over_views: OverViews = "mean",
    weight_gradient: WeightGradient = "flow",
) -> Tensor:
    """Decoupled contrastive loss whose attraction is stronger for views that are still far apart (DCLW).

    As `decoupled`, with w_ap s_ap for s_ap: for image i and its views u, v, with c_i = <z_iu, z_iv>,
    w = 2 - N e^{c_i / sigma} / sum_j e^{c_j / sigma}. The weights of the images have mean 1 and may be negative.
    Source: Yeh et al. 2022 (arXiv 2110.06848), the von Mises-Fisher weighting, for two views; more views are ours:
    each pair of views has its own weights.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        temperature, contrast, over_views: as in `decoupled`.
        sigma: how peaked the weights are; about 0.1 to 2 (public code: 0.5). Large ones make all weights 1.
        weight_gradient: `flow`: the derivative of the loss as it stands. `detach`: weights are constants. Public
            implementations differ.

    Degenerate: one image has weight 1, no negatives, and gives 0. Identical rows: weights 1, log(V(N - 1)).
    Raises ValueError for a single view.
    """
    one_of(weight_gradient, WeightGradient, "weight_gradient")
    similarities = _between_views(features)
    weights = 2 - len(features) * (similarities / positive(sigma, "sigma")).softmax(dim=0)
    if weight_gradient == "detach":
        weights = weights.detach()
    return _decoupled(features, weights * similarities, temperature, contrast, over_views)


def _between_views(features: Tensor) -> Tensor:
    """[N, V, V]: the inner products of each image's views."""
    view_rows(features, views=2)
    return features @ features.transpose(1, 2)


def _decoupled(
    features: Tensor, attraction: Tensor, temperature: float, contrast: RowContrast, over_views: OverViews
) -> Tensor:
    """The loss from the attraction [N, V, V] of each image's views, before it is divided by the temperature."""
    one_of(contrast, RowContrast, "contrast")
    one_of(over_views, OverViews, "over_views")
    (images, views), rows = features.shape[:2], view_rows(features)
    anchors = images if contrast == "first_view" else len(rows)
    negatives = ~same_image(features).repeat(views, views)[:anchors]
    log_negatives = masked_logsumexp(rows[:anchors] @ rows.T / positive(temperature), negatives)[:, 0]
    itself = torch.eye(views, dtype=torch.bool, device=features.device)
    pull = attraction.masked_fill(itself, 0.0).sum(dim=2).T.flatten()[:anchors] / (views - 1) / temperature
    losses = zero_unless(negatives.any(dim=1), log_negatives - pull)
    return losses.mean() if over_views == "mean" else losses.view(-1, images).mean(dim=1).sum()
