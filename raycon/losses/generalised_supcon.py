"""The supervised contrastive loss in its generalised form, by which a network is drawn to what is easy: the bias."""

from __future__ import annotations

from torch import Tensor

from raycon.knobs import Fraction, NonNegative, Positive
from raycon.losses.generalised_cross_entropy import box_cox
from raycon.losses.similarity import (
    masked_logsumexp,
    masked_mean,
    not_self,
    positive,
    same_label,
    view_rows,
    with_floor,
)


def generalised_supcon(
    features: Tensor, labels: Tensor, *, temperature: Positive = 0.2, amplification: Fraction = 0.7
) -> Tensor:
    """SupCon whose pairs count the more, the more alike they already are.

    With p_ab = e^{s_ab} / sum_{c != a} e^{s_ac}, s_ab = <z_a, z_b> / temperature, P(a) the other rows of a's class:
    mean over anchors a and b in P(a) of  (1 - p_ab^q) / q,  q = amplification.
    Source: Hwang et al. 2022 (SelecMix, arXiv 2211.02291), the generalised supervised contrastive loss of the auxiliary
    model; the authors' code has q times this gradient: `generalised_supcon_reference`.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64.
        temperature: divides the inner products; about 0.05 to 0.5.
        amplification: q, 0 to 1; 0 is SupCon, authors: 0.7.

    Degenerate: an anchor without positives contributes 0 and stays in the mean. Identical rows: (1 - (VN - 1)^-q) / q
    for an anchor with positives. Raises ValueError for wrong shapes.

    >>> import torch
    >>> rows = torch.eye(4).reshape(4, 1, 4)
    >>> round(generalised_supcon(rows, torch.tensor([0, 0, 1, 1]), amplification=1.0).item(), 4)  # 1 - 1/3
    0.6667
    """
    logits, positives, others = _pairs(features, labels, temperature)
    log_probabilities = (logits - masked_logsumexp(logits, others)).masked_fill(~positives, 0.0)
    return masked_mean(box_cox(log_probabilities, amplification), positives).mean()


def generalised_supcon_reference(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.2,
    amplification: Fraction = 0.7,
    generalised: bool = True,
    floor: NonNegative = 1e-9,
) -> Tensor:
    """The loss exactly as SelecMix's public code computes it: for comparisons. Not a catalogue term.

    Mean over anchors and positives of -q p^q log p with q p^q taken as a constant, or of -log p where not
    `generalised`. `floor` is added to the denominator after the row's largest logit, the anchor's own included, was
    subtracted. Without floor its gradient is q times that of `generalised_supcon`; q = 0 gives 0.
    Source: Hwang et al. 2022 (SelecMix, arXiv 2211.02291), `SupConLoss` of the authors' code.
    """
    logits, positives, others = _pairs(features, labels, temperature)
    log_denominator = with_floor(masked_logsumexp(logits, others), logits, floor)
    log_probabilities = (logits - log_denominator).masked_fill(~positives, 0.0)
    losses = -log_probabilities
    if generalised:
        losses = losses * amplification * (amplification * log_probabilities).exp().detach()
    return masked_mean(losses, positives).mean()


def _pairs(features: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, positives, and all pairs of different rows: each [VN, VN]."""
    rows = view_rows(features, labels)
    others = not_self(rows)
    return rows @ rows.T / positive(temperature), same_label(labels, features.shape[1]) & others, others
