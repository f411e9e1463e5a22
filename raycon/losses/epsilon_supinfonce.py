"""Contrastive losses with a margin epsilon between positives and negatives.

`epsilon` counts in units of the logits: the margin between cosines is epsilon * temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import NonNegative, Positive
from raycon.losses.similarity import (
    Form,
    masked_count,
    masked_logsumexp,
    masked_mean,
    not_self,
    one_of,
    positive,
    rescaled,
    same_image,
    same_label,
    view_rows,
    with_floor,
    zero_unless,
)


def epsilon_supinfonce(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.1,
    epsilon: NonNegative = 0.25,
    form: Form = "out",
    floor: NonNegative = 0.0,
    base_temperature: Positive | None = None,
) -> Tensor:
    """Supervised InfoNCE with a margin: a pair's other positives are not in its denominator.

    With s_ab = <z_a, z_b> / temperature, P(a) the other rows of a's class, Q(a) the rows of other classes:
    out: mean over a and p in P(a) of  -s_ap + log( e^{s_ap - epsilon} + sum_{q in Q(a)} e^{s_aq} );
    in: mean over a of  -log sum_P e^{s_ap} + log( e^{-epsilon} mean_P e^{s_ap} + sum_Q e^{s_aq} ), the authors' code.
    Source: Barbano et al. 2023 (arXiv 2211.05568), eq. 4; mean over P(a) where the paper sums, as the authors' code.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        temperature: divides the inner products; about 0.03 to 0.5.
        epsilon: margin in units of logits; 0 is plain supervised InfoNCE, infinity leaves the positive out.
        form: `out` or `in`.
        floor: added to the denominator after it was shifted by the row's largest logit, the self pair's included. The
            authors' code has 1e-6, which is felt at temperatures below about 0.07. 0 (default) is the formula.
        base_temperature: multiplies the loss by temperature / base_temperature (authors: 0.07); None does not.

    Degenerate: an anchor without positives contributes 0 and stays in the mean; without negatives a pair contributes
    -epsilon. The loss may be negative. Identical rows, epsilon 0, out: the mean over anchors with positives of
    log(1 + number of negatives).

    >>> import torch
    >>> rows = torch.eye(4).reshape(4, 1, 4)
    >>> round(epsilon_supinfonce(rows, torch.tensor([0, 0, 1, 1]), epsilon=0.0, temperature=1.0).item(), 4)  # log 3
    1.0986
    """
    view_rows(features, labels)
    return _epsilon_infonce(features, same_label(labels), temperature, epsilon, form, floor, base_temperature)


def epsilon_infonce(
    features: Tensor,
    *,
    temperature: Positive = 0.1,
    epsilon: NonNegative = 0.25,
    floor: NonNegative = 0.0,
    base_temperature: Positive | None = None,
) -> Tensor:
    """InfoNCE with a margin: `epsilon_supinfonce` in which every image is a class of its own.

    Mean over anchors a and the other views p of a's image of -s_ap + log( e^{s_ap - epsilon} + sum_Q e^{s_aq} ).
    Source: Barbano et al. 2023 (arXiv 2211.05568), eq. 2.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        temperature, epsilon, floor, base_temperature: as in `epsilon_supinfonce`.

    Degenerate: one image has no negatives and gives -epsilon. Identical rows, epsilon 0: log(1 + V(N - 1)).
    Raises ValueError for a single view.
    """
    view_rows(features, views=2)
    return _epsilon_infonce(features, same_image(features), temperature, epsilon, "out", floor, base_temperature)


def epsilon_supcon(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.1,
    epsilon: NonNegative = 0.25,
    floor: NonNegative = 0.0,
    base_temperature: Positive | None = None,
) -> Tensor:
    """SupCon with a margin: all positives of the anchor are in the denominator, each less epsilon.

    Mean over anchors a and p in P(a) of  -s_ap + log( sum_{t in P(a)} e^{s_at - epsilon} + sum_{q in Q(a)} e^{s_aq} ).
    Source: Barbano et al. 2023 (arXiv 2211.05568), eq. 5, without its additive constant epsilon, which has no gradient
    and which the authors' code leaves out too; epsilon 0 is `supcon`.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        temperature, epsilon, floor, base_temperature: as in `epsilon_supinfonce`.

    Degenerate: an anchor without positives contributes 0 and stays in the mean; without negatives a pair contributes
    -s_ap + log sum_P e^{s_at} - epsilon. Identical rows, epsilon 0: log(VN - 1) for an anchor with positives.
    """
    rows = view_rows(features, labels)
    positives, negatives = _split(same_label(labels).repeat(features.shape[1], features.shape[1]), rows)
    logits = rows @ rows.T / positive(temperature)
    log_denominator = torch.logaddexp(
        masked_logsumexp(logits, positives) - epsilon, masked_logsumexp(logits, negatives)
    )
    log_denominator = with_floor(log_denominator, logits, floor)
    return rescaled(masked_mean(log_denominator - logits, positives).mean(), temperature, base_temperature)


def _split(alike: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and negatives among the rows, a row itself being neither."""
    return alike & not_self(rows), ~alike


def _epsilon_infonce(
    features: Tensor,
    alike: Tensor,
    temperature: float,
    epsilon: float,
    form: Form,
    floor: float,
    base_temperature: float | None,
) -> Tensor:
    """Both forms of `epsilon_supinfonce` from the images' pairs [N, N] that attract."""
    one_of(form, Form, "form")
    rows, views = view_rows(features), features.shape[1]
    positives, negatives = _split(alike.repeat(views, views), rows)
    logits = rows @ rows.T / positive(temperature)
    log_negatives = masked_logsumexp(logits, negatives)
    if form == "out":
        log_denominator = with_floor(torch.logaddexp(logits - epsilon, log_negatives), logits, floor)
        losses = masked_mean(log_denominator - logits, positives)
    else:
        log_positives = masked_logsumexp(logits, positives)
        log_mean = log_positives - masked_count(positives).to(logits.dtype).log()
        log_denominator = with_floor(torch.logaddexp(log_mean - epsilon, log_negatives), logits, floor)
        losses = zero_unless(positives.any(dim=1), (log_denominator - log_positives)[:, 0])
    return rescaled(losses.mean(), temperature, base_temperature)
