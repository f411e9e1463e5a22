"""Siamese prototypical contrastive learning: pairs of images that clusters of the training set call alike or not."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import NonNegative, Positive
from raycon.losses.infonce import infonce
from raycon.losses.similarity import one_of

MetricKind = Literal["bce", "l1", "l2"]
PrototypeKind = Literal["cross_entropy", "symmetric"]

CROSS_SHARE, REVERSE_SHARE = 0.1, 1.0
SMALLEST_PROBABILITY, SMALLEST_TARGET = 1e-7, 1e-4


def siamese_metric_loss(pair_logits: Tensor, same_prototype: Tensor, *, kind: MetricKind = "bce") -> Tensor:
    """The loss of a learned metric that is to tell whether two views show images of one prototype.

    Sum over the S pairs of views of mean over images of l(m, t): m is the metric's logit. t is 1 for two views of one
    image, and `same_prototype` for a view of the image and one of its partner.
    `bce`: l = log(1 + e^m) - t m.  `l1`: l = |m - t|.  `l2`: l = (m - t)^2.
    Source: Mo, Sun and Li (Siamese Prototypical Contrastive Learning, arXiv 2208.08819), after the authors' public code
    (stoneMo/SPCL 357015d), which has two views, so S = 6, and l1 and l2 on the logit itself.

    Args:
        pair_logits: [N, S] of the network `siamese_metric`: with V views first the V(V - 1) pairs within an image, then
            the V^2 pairs of the image with its partner, S = V(2V - 1).
        same_prototype: [N], 1 or 0.
        kind: `bce` (the authors' default), `l1` or `l2`.

    Degenerate: one view leaves the pair with the partner, S = 1; one image is enough. Logits of 0 in `bce`: S log 2.
    Raises ValueError for another kind, wrong shapes, and an S that no number of views gives.

    >>> import torch
    >>> round(siamese_metric_loss(torch.zeros(4, 6), torch.tensor([0, 1, 0, 1])).item(), 4)  # 6 log 2
    4.1589
    """
    one_of(kind, MetricKind, "kind")
    within = _pairs_within(pair_logits, same_prototype)
    across = same_prototype.to(pair_logits.dtype)[:, None].expand(-1, pair_logits.shape[1] - within)
    targets = torch.cat([torch.ones_like(pair_logits[:, :within]), across], dim=1)
    if kind == "bce":
        losses = functional.binary_cross_entropy_with_logits(pair_logits, targets, reduction="none")
    else:
        losses = (pair_logits - targets).abs() if kind == "l1" else (pair_logits - targets).square()
    return losses.mean(dim=0).sum()


def _pairs_within(pair_logits: Tensor, same_prototype: Tensor) -> int:
    """How many of the S pairs are of two views of one image: V(V - 1) of V(2V - 1)."""
    shapes = f"{list(pair_logits.shape)} and {list(same_prototype.shape)}"
    if pair_logits.ndim != 2 or pair_logits.numel() == 0 or same_prototype.shape != pair_logits.shape[:1]:
        raise ValueError(f"pair_logits must be [N, S] and same_prototype [N], got {shapes}")
    pairs = pair_logits.shape[1]
    views = (1 + math.isqrt(1 + 8 * pairs)) // 4
    if views * (2 * views - 1) != pairs:
        raise ValueError(f"pair_logits must be of V(2V - 1) pairs (1, 6, 15, ...), got {shapes}")
    return views * (views - 1)


def prototype_classification(
    prototype_logits: Tensor,
    assignments: Tensor,
    partner_prototype_logits: Tensor,
    partner_assignments: Tensor,
    *,
    kind: PrototypeKind = "cross_entropy",
) -> Tensor:
    """A linear classifier is to find each view's prototype: for the image and for its partner.

    Sum over the views of both of mean over images of CE = -log p_c, with p = softmax(logits) and c the prototype.
    `symmetric`: 0.1 CE + 1.0 RCE, the reverse cross entropy RCE = -sum_k p_k log t_k of the one-hot target t, in which
    p is kept at 1e-7 at least and t at 1e-4, so that RCE = 9.21 sum_{k != c} max(p_k, 1e-7).
    Source: Mo, Sun and Li (arXiv 2208.08819), after the authors' public code (stoneMo/SPCL 357015d), two views.

    Args:
        prototype_logits, partner_prototype_logits: [N, V, P] of the network `prototype_classifier`.
        assignments, partner_assignments: [N] int64, below P.
        kind: `cross_entropy` or `symmetric`, which forgives wrong prototypes more.

    Degenerate: none; one image is enough. Equal logits: 2V log P. Raises ValueError for another kind or wrong shapes.

    >>> import torch
    >>> logits, prototypes = torch.zeros(3, 2, 4), torch.tensor([0, 1, 3])
    >>> round(prototype_classification(logits, prototypes, logits, prototypes).item(), 4)  # 4 log 4
    5.5452
    """
    one_of(kind, PrototypeKind, "kind")
    return _classify(prototype_logits, assignments, kind) + _classify(
        partner_prototype_logits, partner_assignments, kind
    )


def _classify(logits: Tensor, assignments: Tensor, kind: PrototypeKind) -> Tensor:
    """One image's side: the sum over views of the mean over images."""
    if logits.ndim != 3 or logits.numel() == 0 or assignments.shape != logits.shape[:1]:
        shapes = f"{list(logits.shape)} and {list(assignments.shape)}"
        raise ValueError(f"prototype_logits must be [N, V, P] and assignments [N], got {shapes}")
    targets = assignments[:, None].expand(-1, logits.shape[1])
    cross = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    if kind == "symmetric":
        others = logits.softmax(dim=2).clamp(min=SMALLEST_PROBABILITY).scatter(2, targets[:, :, None], 0.0)
        reverse = -math.log(SMALLEST_TARGET) * others.sum(dim=2)
        cross = CROSS_SHARE * cross + REVERSE_SHARE * reverse
    return cross.mean(dim=0).sum()


class SiamesePrototypical(NamedTuple):
    """The whole objective and its parts, these without their weights."""

    total: Tensor
    contrast: Tensor
    metric: Tensor
    prototype: Tensor


def siamese_prototypical(
    features: Tensor,
    partner_features: Tensor,
    pair_logits: Tensor,
    same_prototype: Tensor,
    prototype_logits: Tensor,
    assignments: Tensor,
    partner_prototype_logits: Tensor,
    partner_assignments: Tensor,
    *,
    temperature: Positive = 0.5,
    contrast_weight: NonNegative = 1.0,
    metric_weight: NonNegative = 0.01,
    prototype_weight: NonNegative = 0.01,
    metric_kind: MetricKind = "bce",
    prototype_kind: PrototypeKind = "cross_entropy",
) -> SiamesePrototypical:
    """The objective in one call, for those who use the losses alone; a file writes it as four weighted terms.

    contrast_weight [infonce(features) + infonce(partner_features)] + metric_weight siamese_metric_loss
    + prototype_weight prototype_classification.
    Source: Mo, Sun and Li (arXiv 2208.08819), after the authors' public code (stoneMo/SPCL 357015d); weights and
    temperature by default those of its command line.

    Args:
        features, partner_features: [N, V, D], V >= 2; rows of any length but 0, they are normalised here.
        temperature: of both contrastive parts; about 0.07 to 1.
        contrast_weight, metric_weight, prototype_weight: about 0.001 to 1.
        metric_kind, prototype_kind, and the other tensors: see `siamese_metric_loss` and `prototype_classification`.
    """
    views = (features, partner_features)
    contrast = torch.stack(
        [infonce(functional.normalize(rows, dim=-1), temperature=temperature) for rows in views]
    ).sum()
    metric = siamese_metric_loss(pair_logits, same_prototype, kind=metric_kind)
    prototype = prototype_classification(
        prototype_logits, assignments, partner_prototype_logits, partner_assignments, kind=prototype_kind
    )
    total = contrast_weight * contrast + metric_weight * metric + prototype_weight * prototype
    return SiamesePrototypical(total, contrast, metric, prototype)
