"""Contrastive learning with the skew Renyi divergence between positive and negative pairs, in log space (RenyiCL)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import Count, Fraction, Positive
from raycon.losses.similarity import positive
from raycon.losses.view_pairs import pairs_of_views


def renyi(
    features: Tensor,
    momentum_features: Tensor,
    *,
    temperature: Positive = 0.5,
    order: Positive = 2.0,
    skew: Fraction | None = None,
    targets: Count = 2,
) -> Tensor:
    """The negated variational bound of a skew Renyi divergence, summed over the target views.

    For target t: P = { <q_iv, k_it> / temperature } over images i and source views v != t, Q the same of different
    images, { <q_iv, k_jt> / temperature : i != j }; all pairs of a kind are pooled in one mean, g = order, a = skew:
    J_t = 1/(g - 1) log mean_P e^{(g - 1) f}  -  1/g log( a mean_P e^{g f} + (1 - a) mean_Q e^{g f} ).
    The loss is minus the sum of J_t. At order 1 the first part is mean_P f (skew Kullback-Leibler divergence).
    Source: Lee and Shin 2022 (RenyiCL, arXiv 2208.06270) and the authors' code (kyungmnlee/RenyiCL), whose loss has the
    gradient of this objective and another value (`renyi_surrogate`), and overflows where this does not.

    Args:
        features: [N, V, D], V >= 2, online features, by their direction: of unit length or not. Usually a predictor's
            output, with `inputs: {features: predictions}`.
        momentum_features: [N, M, D], the first M <= V views; the network gives them without gradient.
        temperature: divides the cosines; about 0.1 to 1. Couples with `order`: the exponents are order / temperature.
        order: g > 0; 1 to 3. Above 1, easy positives and hard negatives weigh more.
        skew: a, the share of positives in the mixture; 0 (no skew) to 1; about 1e-6 to 0.1. None: 1 / (N (V - 1)).
        targets: how many of the first momentum views are targets, at most M. All other views are sources for each.

    Degenerate: one image has no negatives; the mixture is then P alone, as at skew 1. Identical rows: 0 a target.
    Raises ValueError for a single view and for shapes that do not fit each other.

    >>> import torch
    >>> rows = torch.ones(3, 2, 1)
    >>> round(abs(renyi(rows, rows).item()), 4)
    0.0
    """
    critics = _critics(features, momentum_features, temperature, targets)
    share = _share(features, skew)
    bounds = [
        _power_mean(attract, order, temperature) - _mixture(attract, repel, order, share)[1].logsumexp(dim=0) / order
        for attract, repel in critics
    ]
    return -torch.stack(bounds).sum()


def mutual_information(
    features: Tensor,
    momentum_features: Tensor,
    *,
    temperature: Positive = 0.5,
    skew: Fraction | None = None,
    targets: Count = 2,
) -> Tensor:
    """The estimate of the mutual information of two views that the authors' code logs, in nats; mean over targets.

    With an anchor's own pairs P_i and Q_i, log r = mean_{P_i} f - log( a mean_{P_i} e^f + (1 - a) mean_{Q_i} e^f ), the
    skew is undone by r' = (1 - a) r / (1 - a r), and the result is the mean of max(log r', log 1e-10). At skew 1 (or
    with one image) P is compared with itself, and nothing can be estimated: 0.
    Source: the authors' code (kyungmnlee/RenyiCL, renyicl/builder.py), here in log space.
    """
    critics = _critics(features, momentum_features, temperature, targets)
    share = _share(features, skew)
    estimates = []
    for attract, repel in critics:
        if share == 1:
            return attract.new_zeros(())
        log_mixture = _mixture(attract, repel, 1.0, share)[1].view(len(features), -1).logsumexp(dim=1)
        log_ratio = attract.mean(dim=1) - log_mixture - math.log(len(features))
        if share > 0:
            # a r is at most 1, but for rounding.
            part = (log_ratio + math.log(share)).exp().clamp(max=1 - torch.finfo(attract.dtype).eps)
            log_ratio = log_ratio + math.log1p(-share) - torch.log1p(-part)
        estimates.append(log_ratio.clamp(min=math.log(1e-10)).mean())
    return torch.stack(estimates).mean()


def renyi_surrogate(
    features: Tensor,
    momentum_features: Tensor,
    *,
    temperature: Positive = 0.5,
    order: Positive = 2.0,
    skew: Fraction | None = None,
    targets: Count = 2,
    workers: Count = 1,
) -> Tensor:
    """The number that the authors' code calls its loss, for comparisons: the gradient of `renyi`, another value.

    -sum_P w f + sum_{P, Q} u f with weights w ~ e^{(g - 1) f} and u ~ (a / |P|) e^{g f} on P, ((1 - a) / |Q|) e^{g f}
    on Q, both summing to 1 and without gradient. Result [workers]: what each of so many workers with an equal share of
    the images would report, each weighing its own images' pairs; their mean is the loss of the whole batch.
    Source: the authors' code (kyungmnlee/RenyiCL, renyicl/builder.py), here in log space.
    """
    critics = _critics(features, momentum_features, temperature, targets)
    images, share = len(features), _share(features, skew)
    each = features.new_zeros(images)
    for attract, repel in critics:
        pulls = ((order - 1) * attract.detach()).flatten().softmax(dim=0).view_as(attract)
        values, log_weights = _mixture(attract, repel, order, share)
        pushes = log_weights.detach().softmax(dim=0)
        each = each - (pulls * attract).sum(dim=1) + (pushes * values).view(images, -1).sum(dim=1)
    return images * each.view(workers, -1).mean(dim=1)


def _critics(
    features: Tensor, momentum_features: Tensor, temperature: float, targets: int
) -> list[tuple[Tensor, Tensor]]:
    """For each target view: f of the positives [N, S] and of all pairs [N, S, N], S the sources."""
    pairs = pairs_of_views(features, momentum_features, "momentum_features")
    if targets < 1:
        raise ValueError(f"targets must be at least 1, got {targets}")
    queries, keys = functional.normalize(features, dim=2), functional.normalize(momentum_features, dim=2)
    found = []
    for target in range(min(targets, keys.shape[1])):
        sources = [online for online, other in pairs if other == target]
        logits = torch.einsum("isd,jd->isj", queries[:, sources], keys[:, target]) / positive(temperature)
        found.append((logits.diagonal(dim1=0, dim2=2).T, logits))
    return found


def _share(features: Tensor, skew: float | None) -> float:
    """The share of the positives in the mixture."""
    images, views = features.shape[:2]
    if images == 1:
        return 1.0
    share = 1 / (images * (views - 1)) if skew is None else skew
    if not 0 <= share <= 1:
        raise ValueError(f"skew must be 0 to 1, got {skew}")
    return share


def _power_mean(values: Tensor, order: float, temperature: float) -> Tensor:
    """1/(order - 1) times the log of the mean of e^{(order - 1) values}; at order 1 its limit, the mean."""
    power, mean = positive(order, "order") - 1, values.mean()
    if power == 0:
        return mean
    if abs(power) < temperature / 4:
        # Values are at most 1 / temperature. Near order 1, log(mean) as such would lose all digits to the division.
        return mean + torch.log1p(torch.expm1(power * (values - mean)).mean()) / power
    return ((power * values).flatten().logsumexp(dim=0) - math.log(values.numel())) / power


def _mixture(attract: Tensor, repel: Tensor, order: float, share: float) -> tuple[Tensor, Tensor]:
    """f of all pairs of P and Q, image by image, and the logs of their weights in the mixture, both flat.

    The sum of exp of the second is  a mean_P e^{order f} + (1 - a) mean_Q e^{order f}, a = share.
    """
    images = len(attract)
    absent = torch.finfo(attract.dtype).min
    own = order * attract + (math.log(share) if share > 0 else 0.0) - math.log(attract.numel())
    others = order * repel + (math.log1p(-share) - math.log(attract.numel() * (images - 1)) if share < 1 else 0.0)
    if share == 0:
        own = own.masked_fill(torch.ones_like(own, dtype=torch.bool), absent)
    same = torch.eye(images, dtype=torch.bool, device=attract.device)[:, None].expand_as(repel)
    others = others.masked_fill(torch.ones_like(same) if share == 1 else same, absent)
    values = torch.cat([attract, repel.flatten(1)], dim=1)
    return values.flatten(), torch.cat([own, others.flatten(1)], dim=1).flatten()
