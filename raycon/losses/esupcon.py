"""ESupCon in our definition: SupCon that learns the classifier's prototypes with the same comparisons."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Fraction, NonNegative, Positive
from raycon.losses.similarity import (
    masked_logsumexp,
    masked_mean,
    not_self,
    positive,
    prototype_rows,
    same_label,
    view_rows,
)


def esupcon(
    features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    temperature: Positive = 0.1,
    prototype_weight: NonNegative = 1.0,
    prototype_share: Fraction | None = None,
) -> Tensor:
    """SupCon among the rows and the classes' prototypes, plus the prototypes' own contrast with the rows.

    With s(a, b) = <a, b> / temperature, A(m) all other rows and all prototypes, P(m) the other rows of m's class and
    its prototype, J_k the rows of class k:
    mean over m of  -mean_{p in P(m)} ( s(z_m, p) - log sum_{a in A(m)} e^{s(z_m, a)} )  + prototype_weight * mean over
    the classes present of  -mean_{j in J_k} ( s(w_k, z_j) - log sum_{all rows i} e^{s(w_k, z_i)} ).
    A row belongs to the class of the prototype nearest to it.
    Source: our definition, after what Aljundi et al. 2023 (arXiv 2211.03646) say in words: one contrastive objective
    for the encoder and the classifier, in which each class's weight vector attracts its class's images and repels the
    others'. Their equation was not at hand, so this does not claim to reproduce their numbers.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64, below K.
        prototypes: [K, D], rows of unit length; the network `prototypes` learns them.
        temperature: divides the inner products; about 0.03 to 1.
        prototype_weight: weight of the prototypes' own contrast, 0 to 2; 0 leaves them as further candidates.
        prototype_share: share of the prototype in the mean over P(m), 0 to 1, where there are other rows in it; None
            (default) counts it as one positive among the others.

    Degenerate: none; the own prototype is always a positive. Identical rows and prototypes: log(VN - 1 + K) +
    prototype_weight * log VN. Raises ValueError for wrong shapes.

    >>> import torch
    >>> alike = torch.ones(2, 1, 1)
    >>> round(esupcon(alike, torch.tensor([0, 1]), torch.ones(3, 1)).item(), 4)  # log 4 + log 2
    2.0794
    """
    rows = view_rows(features, labels)
    flat = labels.repeat(features.shape[1])
    own_prototype = flat[:, None] == torch.arange(len(prototype_rows(prototypes, features)), device=labels.device)
    among_rows, to_prototypes = (rows @ others.T / positive(temperature) for others in (rows, prototypes))
    others, positives = not_self(rows), same_label(labels, features.shape[1]) & not_self(rows)
    log_denominator = torch.logaddexp(masked_logsumexp(among_rows, others), to_prototypes.logsumexp(1, keepdim=True))
    of_rows = masked_mean(among_rows - log_denominator, positives)
    of_prototype = masked_mean(to_prototypes - log_denominator, own_prototype)
    count = positives.sum(dim=1).to(rows.dtype)
    share = 1 / (count + 1) if prototype_share is None else 1 - (1 - prototype_share) * (count > 0).to(rows.dtype)
    anchored = -(share * of_prototype + (1 - share) * of_rows).mean()
    return anchored + prototype_weight * _of_prototypes(to_prototypes.T, own_prototype.T)


def _of_prototypes(logits: Tensor, own: Tensor) -> Tensor:
    """The prototypes' contrast with the rows, mean over the classes present; both [K, rows]."""
    losses = -masked_mean(logits - logits.logsumexp(dim=1, keepdim=True), own)
    return losses.sum() / own.any(dim=1).sum().clamp(min=1)
