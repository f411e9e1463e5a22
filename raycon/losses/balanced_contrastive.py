"""Balanced contrastive learning: SupCon in which every class counts once and has a prototype in every batch."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import (
    masked_logsumexp,
    masked_mean,
    not_self,
    positive,
    prototype_rows,
    same_label,
    view_rows,
)


def balanced_contrastive(
    features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    temperature: Positive = 0.1,
    class_averaging: bool = True,
    class_complement: bool = True,
) -> Tensor:
    """Supervised contrastive loss for classes of very different sizes.

    With s_ij = <z_i, z_j> / temperature and B_k the batch's rows of class k together with its prototype, n_k of them:
    mean over rows i and j in B_{y_i} without i of  -s_ij + log( sum_k 1 / (n_k - [k = y_i]) sum_{t in B_k, t != i}
    e^{s_it} ).
    Prototypes are candidates and positives, never anchors.
    Source: Zhu et al. 2022 (arXiv 2207.09052), as the authors' code (FlamieZhu/Balanced-Contrastive-Learning f72d070),
    which leaves the anchor itself out of its own class's count.

    Args:
        features: [N, V, D], rows of unit length. The authors use two views, and a third for the classifier.
        labels: [N] int64, below K.
        prototypes: [K, D], rows of unit length; the authors' come from the classifier's weights, as those of the
            network `class_complement` do.
        temperature: divides the inner products; about 0.03 to 1 (authors: 0.07 to 0.1).
        class_averaging: divides each class's part of the denominator by its number of members. Off, every row counts.
        class_complement: takes the prototypes in. Off, they get a gradient of zero; with both off this is `supcon`.

    Degenerate: an anchor without positives (only without class_complement) contributes 0 and stays in the mean.
    Identical rows: log K, or, without class_averaging, log of the number of candidates. Raises ValueError for wrong
    shapes.

    >>> import torch
    >>> alike = torch.ones(3, 1, 1)
    >>> round(balanced_contrastive(alike, torch.tensor([0, 0, 1]), torch.ones(4, 1)).item(), 4)  # log 4
    1.3863
    """
    rows, views = view_rows(features, labels), features.shape[1]
    classes = torch.arange(len(prototype_rows(prototypes, features)), device=labels.device)
    own_rows = same_label(labels, views)
    own_prototype = labels.repeat(views)[:, None] == classes
    usable = own_prototype.new_full(own_prototype.shape, class_complement)
    candidates = torch.cat([not_self(rows), usable], dim=1)
    own = torch.cat([own_rows, own_prototype], dim=1)
    logits = torch.cat([rows @ rows.T, rows @ prototypes.T], dim=1) / positive(temperature)
    weighted = logits
    if class_averaging:
        of_rows = own_rows.sum(dim=1) + int(class_complement)
        of_prototypes = own_prototype.sum(dim=0) + int(class_complement)
        members = torch.cat([of_rows, of_prototypes]) - own.long()
        weighted = logits - members.clamp(min=1).to(logits.dtype).log()
    log_ratio = logits - masked_logsumexp(weighted, candidates)
    return -masked_mean(log_ratio, own & candidates).mean()
