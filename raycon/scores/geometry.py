"""The shape of the representation: alignment, uniformity, effective rank, spread within classes. Nothing is trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raycon.knobs import Count
from raycon.seeding import derive_seed

ROUNDING = 1e-7
"""Float32 resolution: deviations below this share of the embeddings' own size are rounding, not structure."""

ROWS_AT_ONCE = 1024


def geometry(
    embeddings: Tensor, features: Tensor, labels: Tensor, *, uniformity_rows: Count = 4096
) -> dict[str, float]:
    """Alignment and uniformity of the unit features, effective rank and within-class spread of the embeddings.

    Each is a function of this module, with its source and its degenerate cases. `uniformity_rows` bounds the quadratic
    cost of uniformity.
    """
    return {
        "alignment": alignment(features, labels),
        "uniformity": uniformity(features, rows=uniformity_rows),
        "effective_rank": effective_rank(embeddings),
        "within_class_spread": within_class_spread(embeddings, labels),
    }


def alignment(features: Tensor, labels: Tensor) -> float:
    """Mean squared distance over all pairs of different rows with the same label: 0 (collapsed classes) to 4.

    Source: Wang and Isola 2020 (arXiv 2005.10242), alpha = 2, with the images of a class as positives.
    Closed form, O(n D): the sum over the ordered pairs of a class of n rows is 2 n times its sum of squared deviations.
    No two rows share a label: 0.
    """
    values, classes, sizes = _by_class(features, labels)
    deviations = (values - _class_means(values, classes, sizes)[classes]).square().sum(dim=1)
    total = float((2 * sizes[classes] * deviations).sum())
    pairs = float((sizes * (sizes - 1)).sum())
    return total / pairs if pairs else 0.0


def uniformity(features: Tensor, *, rows: int = 4096) -> float:
    """Log of the mean of exp(-2 |x - y|^2) over all pairs of different rows: 0 (one point) down to -8 (two opposite
    points); about -4 for rows spread evenly over a sphere of many dimensions.

    Source: Wang and Isola 2020 (arXiv 2005.10242), t = 2. More than `rows` rows: a fixed subset of that
    many, which depends on the number of rows alone, so that arms are judged on the same images. One row: 0.
    """
    if len(features) > rows:
        generator = torch.Generator().manual_seed(derive_seed(0, "uniformity", len(features)))
        features = features[torch.randperm(len(features), generator=generator)[:rows].to(features.device)]
    n = len(features)
    if n < 2:
        return 0.0
    values = features.float()
    norms = values.square().sum(dim=1)
    total = 0.0
    for start in range(0, n, ROWS_AT_ONCE):
        # Only pairs at or right of the diagonal block: every pair is met once, the block's own pairs twice.
        block, others = values[start : start + ROWS_AT_ONCE], values[start:]
        distances = torch.addmm(norms[start:], block, others.T, alpha=-2)
        distances.add_(norms[start : start + ROWS_AT_ONCE, None]).clamp_(min=0)
        potential = distances.mul_(-2).exp_()
        own = potential[:, : len(block)]
        total += float(potential[:, len(block) :].sum(dtype=torch.float64))
        total += float(own.sum(dtype=torch.float64) - own.diagonal().sum(dtype=torch.float64)) / 2
    return math.log(total / (n * (n - 1) / 2))


def effective_rank(embeddings: Tensor) -> float:
    """exp(entropy of sigma / sum(sigma)) of the singular values sigma of the centred embeddings: 1 to min(n - 1, E).

    Source: Roy and Vetterli 2007, The effective rank, definition 1; RankMe (Garrido et al. 2023, arXiv 2210.02885) is
    the same without centring. Centred here, as a common offset carries no information. Constant rows, or one row: 0.
    """
    values = embeddings.double()
    centred = values - values.mean(dim=0)
    # The smaller of the two Gram matrices has the same non-zero eigenvalues, the squares of sigma.
    gram = centred.T @ centred if centred.shape[0] > centred.shape[1] else centred @ centred.T
    sigma = torch.linalg.eigvalsh(gram).clamp_(min=0).sqrt_()
    sigma = sigma[sigma > ROUNDING * values.norm()]
    if not len(sigma):
        return 0.0
    shares = sigma / sigma.sum()
    return float(torch.special.entr(shares).sum().exp())


def within_class_spread(embeddings: Tensor, labels: Tensor) -> float:
    """The share of the total variance that lies within labels, trace(within) / trace(total), 0 to 1.

    Low values mean that the images of a label have collapsed to a point. One label only: 1. Constant rows, or one row:
    0. The complement is the between-class share, the squared correlation ratio.
    """
    values, classes, sizes = _by_class(embeddings, labels)
    total = float((values - values.mean(dim=0)).square().sum())
    if total <= (ROUNDING * float(values.norm())) ** 2:
        return 0.0
    within = float((values - _class_means(values, classes, sizes)[classes]).square().sum())
    return min(within / total, 1.0)


def _by_class(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 rows, their class as 0..K-1 without gaps, and the float64 sizes [K] of the classes."""
    _, classes = torch.unique(labels, return_inverse=True)
    return values.double(), classes, torch.bincount(classes).double()


def _class_means(values: Tensor, classes: Tensor, sizes: Tensor) -> Tensor:
    sums = torch.zeros(len(sizes), values.shape[1], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, classes, values) / sizes[:, None]
