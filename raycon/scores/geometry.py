"""The shape of the representation: alignment, uniformity, ranks, spread within classes. Nothing is trained."""

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
    embeddings: Tensor,
    features: Tensor,
    labels: Tensor,
    classes: Tensor | None = None,
    *,
    uniformity_rows: Count = 4096,
) -> dict[str, float]:
    """Alignment, tolerance and uniformity of the unit features; ranks, spread and separability of the embeddings.

    Each is a function of this module, with its source and its degenerate cases. `uniformity_rows` bounds the quadratic
    cost of uniformity. `tolerance`, `within_class_ratio` and `subclass_separability` are left out where they are
    undefined: no two images of a label; fewer than two labels, or labels with one mean; no label with several classes.
    """
    found = {
        "alignment": alignment(features, labels),
        "uniformity": uniformity(features, rows=uniformity_rows),
        "effective_rank": effective_rank(embeddings),
        "rank_me": rank_me(embeddings),
        "within_class_spread": within_class_spread(embeddings, labels),
    }
    undefinable = {
        "tolerance": tolerance(features, labels),
        "within_class_ratio": within_class_ratio(embeddings, labels),
        "subclass_separability": None if classes is None else subclass_separability(embeddings, labels, classes),
    }
    return found | {name: value for name, value in undefinable.items() if value is not None}


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


def tolerance(features: Tensor, labels: Tensor) -> float | None:
    """Mean cosine over all pairs of different rows with the same label, -1 to 1; None where no two rows share one.

    Source: Wang and Liu 2021 (arXiv 2012.09740), who ask how far a loss tolerates that images of a class lie together;
    here the mean is over the pairs of a class alone, so that it does not change with the number of classes. For unit
    rows it is 1 - alignment / 2.
    """
    if int(torch.unique(labels, return_counts=True)[1].max()) < 2:
        return None
    return 1 - alignment(features, labels) / 2


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
    return _rank(values - values.mean(dim=0), float(values.norm()))


def rank_me(embeddings: Tensor) -> float:
    """`effective_rank` without centring: 1 to min(n, E).

    Source: RankMe, Garrido et al. 2023 (arXiv 2210.02885), whose small constant in the logarithm is left out here: the
    entropy of a share 0 is 0. Embeddings that are all positive, as after a ReLU, have a large common offset, which
    draws it towards 1. Zero rows: 0.
    """
    values = embeddings.double()
    return _rank(values, float(values.norm()))


def _rank(values: Tensor, size: float) -> float:
    """exp(entropy) of the singular values of `values` that are more than rounding beside `size`."""
    # The smaller of the two Gram matrices has the same non-zero eigenvalues, the squares of sigma.
    gram = values.T @ values if values.shape[0] > values.shape[1] else values @ values.T
    sigma = torch.linalg.eigvalsh(gram).clamp_(min=0).sqrt_()
    sigma = sigma[sigma > ROUNDING * size]
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


def within_class_ratio(embeddings: Tensor, labels: Tensor) -> float | None:
    """trace(W B^+) / K: the variance within labels in units of that between their means, 0 for collapsed labels.

    W: the mean outer product of the deviations from the own label's mean; B: the mean over the K labels of the outer
    product of (label's mean - mean of the means); B^+ its pseudoinverse. NC1 of Papyan, Han and Donoho 2020 (arXiv
    2008.08186). Only the K - 1 directions in which the means differ count, so labels that overlap in all others may
    still have a small ratio. None for one label, or means that are equal up to rounding.
    """
    values, classes, sizes = _by_class(embeddings, labels)
    means = _class_means(values, classes, sizes)
    offsets = means - means.mean(dim=0)
    _, sigma, directions = torch.linalg.svd(offsets, full_matrices=False)
    # A label's mean has deviations of rounding in proportion to the embeddings' own size.
    kept = sigma > ROUNDING * means.norm()
    if not bool(kept.any()):
        return None
    within = (values - means[classes]) @ directions[kept].T
    between = sigma[kept].square() / len(sizes)
    return float((within.square().mean(dim=0) / between).sum()) / len(sizes)


def subclass_separability(embeddings: Tensor, labels: Tensor, classes: Tensor) -> float | None:
    """The share of the variance within labels that lies between the classes of a label, 0 to 1: whether the classes
    that were trained on as one can still be told apart.

    1 - sum |x - mean of its label and class|^2 / sum |x - mean of its label|^2, over the labels with several classes.
    Our own definition, a correlation ratio. A class of one image is at its own mean: with very few images a class, the
    value is too high. None where no label has several classes, or where labels have collapsed to a point.
    """
    pairs = torch.stack([labels, classes], dim=1)
    kinds, joint = torch.unique(pairs, dim=0, return_inverse=True)
    several = torch.bincount(kinds[:, 0])[labels] > 1
    if not bool(several.any()):
        return None
    values, joint, labels = embeddings[several].double(), joint[several], labels[several]
    around_label, around_class = (float(_deviations(values, k).square().sum()) for k in (labels, joint))
    if around_label <= (ROUNDING * float(values.norm())) ** 2:
        return None
    return max(1 - around_class / around_label, 0.0)


def _deviations(values: Tensor, labels: Tensor) -> Tensor:
    rows, classes, sizes = _by_class(values, labels)
    return rows - _class_means(rows, classes, sizes)[classes]


def _by_class(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 rows, their class as 0..K-1 without gaps, and the float64 sizes [K] of the classes."""
    _, classes = torch.unique(labels, return_inverse=True)
    return values.double(), classes, torch.bincount(classes).double()


def _class_means(values: Tensor, classes: Tensor, sizes: Tensor) -> Tensor:
    sums = torch.zeros(len(sizes), values.shape[1], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, classes, values) / sizes[:, None]
