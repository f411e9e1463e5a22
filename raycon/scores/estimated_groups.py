"""The worst group where groups are not known: found by clustering each label, then trained for and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative, Positive
from raycon.losses.group_dro import size_adjustments, update_group_weights
from raycon.scores.clusters import cluster_labels
from raycon.scores.probe import Probe, ProbeCache, standardised
from raycon.seeding import derive_seed


def estimated_groups(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    probes: ProbeCache,
    groups: Tensor | None = None,
    *,
    most_clusters: Count = 6,
    steps: Count = 500,
    batch_size: Count = 256,
    learning_rate: Positive = 0.1,
    step_size: NonNegative = 0.01,
    size_adjustment: NonNegative = 0.0,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy of the worst estimated group, of the probe of `linear_probe` and of one trained with Group-DRO.

    After GEORGE (Sohoni et al. 2020, arXiv 2011.12945): the training embeddings of each label are clustered, the
    clusters are the groups of Group-DRO (Sagawa et al. 2020, arXiv 1911.08731), and the result is judged on groups.
    Our own form in two ways: there Group-DRO trains a network anew, here a linear probe on the frozen embeddings; and
    there clusters are mostly Gaussian mixtures after a projection, here k-means in all dimensions, with the same rule
    for their number (`raycon.scores.clusters`). An image judged belongs to the nearest cluster of its own label.

    `worst_accuracy`, `robust_worst_accuracy`: the least accuracy of an estimated group, of the plain and of the
    Group-DRO probe; `robust_accuracy`: its average over images. `count`: estimated groups of the training images. Where
    `data.groups` names the true ones, for judging only: `agreement`, the adjusted Rand index of estimated and true
    groups of the images judged, within each label and averaged over images (1 equal, 0 chance; left out where no label
    has several true groups); and `true_worst_accuracy`, the Group-DRO probe's least accuracy in a true group.

    step_size: 0.001 to 0.1, of the group weights. size_adjustment: 0 to 5. Degenerate: images whose label training
    lacks belong to no estimated group (they count in `robust_accuracy`, as errors); without any other, only that and
    `count` are given. Labels with few images or constant embeddings are one group.
    """
    clusters = cluster_labels(train_embeddings, train_labels, most=most_clusters)
    train_estimated, estimated = clusters.assign(train_embeddings, train_labels), clusters.assign(embeddings, labels)
    robust = fit_group_dro(
        train_embeddings, train_labels, train_estimated, len(clusters), steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, step_size=step_size, size_adjustment=size_adjustment,
    )  # fmt: skip
    plain = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2)
    right, robust_right = (probe.predict(embeddings) == labels for probe in (plain, robust))
    found = {"count": float(len(clusters)), "robust_accuracy": float(robust_right.double().mean())}
    placed = estimated >= 0
    if bool(placed.any()):
        found["worst_accuracy"] = _least(right[placed], estimated[placed])
        found["robust_worst_accuracy"] = _least(robust_right[placed], estimated[placed])
    if groups is not None:
        found["true_worst_accuracy"] = _least(robust_right, groups)
        agreement = agreement_within_labels(estimated[placed], groups[placed], labels[placed])
        if agreement is not None:
            found["agreement"] = agreement
    return found


def fit_group_dro(
    embeddings: Tensor,
    labels: Tensor,
    groups: Tensor,
    group_count: int,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    step_size: float,
    size_adjustment: float,
) -> Probe:
    """A linear probe from zero by gradient descent on sum_g w_g L_g over batches in which all groups are as frequent.

    Each step draws a group, then one of its images, `batch_size` times; L_g is the batch's mean cross entropy of group
    g, 0 where it is absent. First log w_g rises by step_size (L_g + size_adjustment / sqrt(n_g)), normalised, as in the
    authors' code; then the parameters take a step with momentum 0.9 at a rate that falls to 0 in a line.
    groups: int64 [n] in 0..group_count-1, none empty.
    """
    mean, scale, rows = standardised(embeddings)
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
    classes, targets = torch.unique(labels, return_inverse=True)
    sizes = torch.bincount(groups, minlength=group_count)
    order, starts = groups.argsort(stable=True), sizes.cumsum(0) - sizes
    state = _Descent(rows.new_zeros(rows.shape[1], len(classes)), rows.new_zeros(group_count, dtype=torch.float64))
    adjustments = size_adjustments(sizes.double(), size_adjustment)
    generator = torch.Generator().manual_seed(derive_seed(0, "group_dro_probe"))
    for step in range(steps):
        draws = torch.rand(2, batch_size, generator=generator, dtype=torch.float64).to(rows.device)
        drawn = (draws[0] * group_count).long()
        batch = order[starts[drawn] + (draws[1] * sizes[drawn]).long()]
        rate = learning_rate * (1 - step / steps)
        state.step(rows[batch], targets[batch], drawn, adjustments, rate=rate, step_size=step_size)
    return Probe(mean, scale, state.weights[:-1], state.weights[-1], classes, float("nan"), steps)


@dataclass
class _Descent:
    """The parameters [E + 1, K] and the logarithms of the group weights [G]."""

    weights: Tensor
    log_weights: Tensor

    def __post_init__(self) -> None:
        self.velocity = torch.zeros_like(self.weights)

    def step(
        self, rows: Tensor, targets: Tensor, groups: Tensor, adjustments: Tensor, *, rate: float, step_size: float
    ) -> None:
        logs = torch.log_softmax(rows @ self.weights, dim=1)
        counts = torch.bincount(groups, minlength=len(adjustments)).clamp(min=1)
        each = -logs.gather(1, targets[:, None])[:, 0].double()
        losses = torch.zeros_like(adjustments).index_add_(0, groups, each) / counts
        self.log_weights = update_group_weights(self.log_weights, losses + adjustments, step_size=step_size)
        residuals = logs.exp()
        residuals[torch.arange(len(rows), device=rows.device), targets] -= 1
        share = (self.log_weights.exp() / counts)[groups].to(rows.dtype)
        self.velocity.mul_(0.9).addmm_(rows.T, residuals * share[:, None])
        self.weights.sub_(self.velocity, alpha=rate)


def agreement_within_labels(estimated: Tensor, groups: Tensor, labels: Tensor) -> float | None:
    """The adjusted Rand index of two partitions [n] within each label, averaged over images of labels with several
    true groups; None where there is no such label."""
    total, weight = 0.0, 0
    for label in torch.unique(labels).tolist():
        rows = labels == label
        if len(torch.unique(groups[rows])) > 1:
            total += adjusted_rand(estimated[rows], groups[rows]) * int(rows.sum())
            weight += int(rows.sum())
    return total / weight if weight else None


def adjusted_rand(first: Tensor, second: Tensor) -> float:
    """The agreement of two partitions over pairs of rows, corrected for chance: at most 1, 0 for independent ones.

    Hubert and Arabie 1985, Journal of Classification 2. Both with all rows in one part, or each alone: 1.
    """
    (_, a), (_, b) = (torch.unique(values, return_inverse=True) for values in (first, second))
    table = torch.bincount(a * (int(b.max()) + 1) + b, minlength=(int(a.max()) + 1) * (int(b.max()) + 1)).double()
    table = table.view(int(a.max()) + 1, -1)
    both, left, right = (float((counts * (counts - 1)).sum()) for counts in (table, table.sum(dim=1), table.sum(dim=0)))
    pairs = len(first) * (len(first) - 1)
    expected = left * right / pairs if pairs else 0.0
    largest = (left + right) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)


def _least(right: Tensor, groups: Tensor) -> float:
    _, index = torch.unique(groups, return_inverse=True)
    hits = torch.zeros(int(index.max()) + 1, dtype=torch.float64, device=right.device)
    return float((hits.index_add_(0, index, right.double()) / torch.bincount(index)).min())
