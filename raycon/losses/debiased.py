"""Debiased contrastive loss: the denominator is corrected for negatives that are of the anchor's own class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raycon.knobs import Positive, Share
from raycon.losses.similarity import (
    masked_count,
    masked_logsumexp,
    masked_mean,
    not_self,
    positive,
    same_image,
    same_label,
    view_rows,
)


def debiased(features: Tensor, *, temperature: Positive = 0.5, class_prior: Share = 0.1) -> Tensor:
    """InfoNCE whose negatives are corrected for the share `class_prior` of them that is of the anchor's class.

    With s_ab = <z_a, z_b> / temperature, P(a) the other views of a's image, Q(a) the n rows of all other images:
    mean over anchors a and p in P(a) of  -s_ap + log( e^{s_ap} + n g_a ),
    g_a = max{ [mean over Q(a) of e^{s_aq} - class_prior * mean over P(a) of e^{s_ap}] / (1 - class_prior),
    e^{-1 / temperature} }, the least that e^s can be for unit rows. An anchor at that least value is clamped: its
    negatives have no gradient.
    Source: Chuang et al. 2020 (Debiased Contrastive Learning, arXiv 2007.00224) and the authors' code. With two views
    the estimator's one positive sample is the positive itself, as in that code; further views are further samples.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        temperature: divides the inner products; about 0.2 to 1 (authors: 0.5). Low ones clamp most anchors: look at the
            logged `clamped_share`.
        class_prior: the probability that another image is of the anchor's class, 0 to below 1; about 0 to 0.3 (authors:
            0.1). 0 subtracts nothing and never clamps: InfoNCE (with more than two views: one positive a pair in the
            denominator).

    Degenerate: one image has no negatives and gives 0. Identical rows: log(1 + V(N - 1)), as without the correction.
    Raises ValueError for a single view and for a class_prior outside [0, 1).

    >>> import torch
    >>> rows = torch.eye(2).reshape(2, 1, 2).expand(2, 2, 2)
    >>> round(debiased(rows, temperature=1.0, class_prior=0.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    """
    view_rows(features, views=2)
    return _losses(features, same_image(features), temperature, class_prior)[0].mean()


def debiased_supervised(
    features: Tensor, labels: Tensor, *, temperature: Positive = 0.5, class_prior: Share = 0.1
) -> Tensor:
    """`debiased` whose estimate of the anchor's own class comes from all other rows of that class in the batch.

    What is attracted, and what are negatives, stays as it is; only the mean that is subtracted runs over the M other
    rows of a's class instead of over a's other views. Source: the estimator with M positive samples of Chuang et al.
    2020 (arXiv 2007.00224); that the samples are taken from the batch by label is our own definition.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        labels: [N] int64.
        temperature, class_prior: as in `debiased`.

    Degenerate: an image alone in its class has its own other views as samples; one image gives 0.
    Raises ValueError as `debiased`.
    """
    view_rows(features, labels, views=2)
    return _losses(features, same_label(labels), temperature, class_prior)[0].mean()


def debiased_of_samples(
    anchors: Tensor,
    positives: Tensor,
    extra_positives: Tensor,
    negatives: Tensor,
    *,
    temperature: Positive = 0.5,
    class_prior: Share = 0.1,
) -> Tensor:
    """The estimator with its samples given: anchors and positives [B, D], extra_positives [B, M, D], negatives
    [B, n, D], all of unit length.

    Mean of -log( e^{a.p / t} / (e^{a.p / t} + n g) ), g = max{ [mean_n e^{a.u / t} - class_prior * mean_M e^{a.v / t}]
    / (1 - class_prior), e^{-1 / t} }, t the temperature. Not a catalogue term: no tensor of a step has these shapes.
    Source: Chuang et al. 2020 (arXiv 2007.00224), the estimator with n unlabelled and M positive samples.
    Degenerate: B, M and n are at least 1. Raises ValueError for shapes that do not fit one another.
    """
    fits = anchors.ndim == 2 and anchors.numel() > 0
    given = (positives.shape, extra_positives.shape[::2], negatives.shape[::2])
    if not fits or any(shape != anchors.shape for shape in given) or 0 in (*extra_positives.shape, *negatives.shape):
        raise ValueError(
            "anchors and positives must be [B, D], extra_positives [B, M, D] and negatives [B, n, D], none of them "
            f"empty, got {[list(t.shape) for t in (anchors, positives, extra_positives, negatives)]}"
        )
    scale = positive(temperature)
    attracted = (anchors * positives).sum(dim=1) / scale
    own = (extra_positives @ anchors[:, :, None]).squeeze(2) / scale
    unlabelled = (negatives @ anchors[:, :, None]).squeeze(2) / scale
    log_own = own.logsumexp(dim=1) - math.log(own.shape[1])
    log_unlabelled = unlabelled.logsumexp(dim=1) - math.log(unlabelled.shape[1])
    log_corrected, _ = _corrected(log_unlabelled, log_own, temperature, class_prior)
    return (torch.logaddexp(attracted, log_corrected + math.log(unlabelled.shape[1])) - attracted).mean()


def clamped_count(features: Tensor, *, temperature: Positive = 0.5, class_prior: Share = 0.1) -> Tensor:
    """How many of the VN anchors of `debiased` are clamped: a whole number, int64."""
    view_rows(features, views=2)
    return _losses(features, same_image(features), temperature, class_prior)[1].sum()


def clamped_share(features: Tensor, *, temperature: Positive = 0.5, class_prior: Share = 0.1) -> Tensor:
    """The share of the anchors of `debiased` that are clamped. At 1 the negatives repel nothing."""
    view_rows(features, views=2)
    return _losses(features, same_image(features), temperature, class_prior)[1].to(features.dtype).mean()


def clamped_share_supervised(
    features: Tensor, labels: Tensor, *, temperature: Positive = 0.5, class_prior: Share = 0.1
) -> Tensor:
    """The share of the anchors of `debiased_supervised` that are clamped."""
    view_rows(features, labels, views=2)
    return _losses(features, same_label(labels), temperature, class_prior)[1].to(features.dtype).mean()


def _losses(features: Tensor, alike: Tensor, temperature: float, class_prior: float) -> tuple[Tensor, Tensor]:
    """Each anchor's loss, and whether it is clamped, both [VN]. `alike` [N, N]: which images are samples of an image's
    own class; the diagonal is True."""
    rows, (images, views) = view_rows(features), features.shape[:2]
    own_image = same_image(features).repeat(views, views)
    other, negatives = not_self(rows), ~own_image
    samples = alike.repeat(views, views) & other
    logits = rows @ rows.T / positive(temperature)
    log_own = masked_logsumexp(logits, samples) - masked_count(samples).to(logits.dtype).log()
    count = views * (images - 1)
    log_unlabelled = masked_logsumexp(logits, negatives) - math.log(max(count, 1))
    log_corrected, clamped = _corrected(log_unlabelled, log_own, temperature, class_prior)
    log_negatives = log_corrected + (math.log(count) if count else -math.inf)
    losses = masked_mean(torch.logaddexp(logits, log_negatives) - logits, own_image & other)
    return losses, clamped[:, 0]


def _corrected(
    log_unlabelled: Tensor, log_own: Tensor, temperature: float, class_prior: float
) -> tuple[Tensor, Tensor]:
    """log g from the logs of the two means, and where it is clamped.

    The comparison is made before the subtraction, so that nothing is taken from something smaller: no overflow, no log
    of a negative number, and no NaN in the gradient of the branch that is not taken.
    """
    if not 0 <= class_prior < 1:
        raise ValueError(f"class_prior must be at least 0 and below 1, got {class_prior}")
    if class_prior == 0:
        return log_unlabelled, torch.zeros_like(log_unlabelled, dtype=torch.bool)
    least, log_rest = -1 / temperature, math.log1p(-class_prior)
    log_share = log_own + math.log(class_prior)
    clamped = log_unlabelled <= torch.logaddexp(log_share, torch.full_like(log_share, log_rest + least))
    gap = (log_share - log_unlabelled).masked_fill(clamped, -1.0)
    return (log_unlabelled + (-torch.expm1(gap)).log() - log_rest).masked_fill(clamped, least), clamped
