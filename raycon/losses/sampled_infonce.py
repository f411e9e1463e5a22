"""InfoNCE with a given number of drawn negatives: what more of them do, at the same batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Count, Positive
from raycon.losses.drawn_images import drawn_images
from raycon.losses.similarity import (
    one_of,
    positive,
    same_image,
    same_label,
    unit_rows,
    view_rows,
    zero_unless,
)

Positives = Literal["same_class", "augmentation"]
Sampling = Literal["marginal", "other_classes"]
DrawnDenominator = Literal["with_positive", "decoupled"]


def sampled_infonce(
    features: Tensor,
    labels: Tensor,
    draws: Tensor,
    *,
    negatives: Count = 16,
    positives: Positives = "same_class",
    sampling: Sampling = "marginal",
    denominator: DrawnDenominator = "with_positive",
    temperature: Positive = 0.1,
) -> Tensor:
    """InfoNCE with one positive and `negatives` drawn negatives an anchor, whatever the batch.

    Mean over anchors of  -s_ap + log( e^{s_ap} + sum of e^{s_aq} over the drawn q ), s = cosine / temperature. Anchors
    are all rows; an anchor of view v is compared with rows of view v + 1 (of view 0 after the last, and of its own view
    where there is only one). Negatives are drawn independently, with replacement, from the other images of the batch.
    Source: the sampling model of Awasthi, Dikkala and Kamath 2022 (Do More Negative Samples Necessarily Hurt in
    Contrastive Learning?, arXiv 2205.01789), with the batch in place of the population.

    Args:
        features: [N, V, D], V >= 1; lengths do not matter.
        labels: [N] int64.
        draws: [N, R], uniform in [0, 1): what is chosen depends on them alone, not on the order of the batch.
        negatives: how many are drawn for each anchor, from 1 on; 1 to 255 in the study.
        positives: `same_class`: another image of the anchor's class, drawn, as in the model. `augmentation`: the next
            view of the anchor's own image.
        sampling: `marginal`: any other image, so that some are of the anchor's class (see the logged `collision_rate`).
            `other_classes`: only images of other classes.
        denominator: `with_positive`, or `decoupled`: without the positive.
        temperature: divides the cosines; about 0.1 to 0.5.

    Degenerate: an anchor without a possible positive or negative contributes 0 and stays in the mean. Identical rows:
    log(1 + negatives), decoupled log(negatives).
    Raises ValueError for `augmentation` of a single view, for negatives below 1, for wrong shapes.
    """
    one_of(positives, Positives, "positives")
    rows = view_rows(features, labels, views=2 if positives == "augmentation" else 1)
    chosen, valid = _drawn_negatives(labels, draws, negatives, sampling)
    if positives == "same_class":
        others = same_label(labels) & ~same_image(features)
        partner, valid = drawn_images(others, draws, 1)[:, 0], valid & others.any(dim=1)
    else:
        partner = torch.arange(len(labels), device=labels.device)
    images, views = features.shape[:2]
    next_view = (torch.arange(views, device=labels.device) + 1) % views * images
    losses = _losses_of_indices(
        rows,
        torch.arange(len(rows), device=labels.device),
        (next_view[:, None] + partner).flatten(),
        (next_view[:, None, None] + chosen).flatten(0, 1),
        temperature,
        denominator,
    )
    return zero_unless(valid.repeat(views), losses).mean()


def infonce_of_indices(
    rows: Tensor,
    anchor: Tensor,
    positive_row: Tensor,
    negative_rows: Tensor,
    *,
    temperature: Positive = 0.1,
    denominator: DrawnDenominator = "with_positive",
) -> Tensor:
    """`sampled_infonce` with what was drawn given: rows [M, D] of any length but 0, anchor and positive_row [A],
    negative_rows [A, k], whole numbers below M, which may repeat. The mean over the A anchors.

    Not a catalogue term: no file can name indices of rows. Source: as `sampled_infonce`.
    Degenerate: at least one anchor and one negative. Raises ValueError for shapes that do not fit one another.
    """
    fits = anchor.ndim == 1 and positive_row.shape == anchor.shape and negative_rows.shape[:-1] == anchor.shape
    if rows.ndim != 2 or not fits or 0 in (*rows.shape, *negative_rows.shape):
        raise ValueError(
            "rows must be [M, D], anchor and positive_row [A] and negative_rows [A, k], none of them empty, got "
            f"{[list(t.shape) for t in (rows, anchor, positive_row, negative_rows)]}"
        )
    return _losses_of_indices(rows, anchor, positive_row, negative_rows, temperature, denominator).mean()


def collision_rate(
    features: Tensor, labels: Tensor, draws: Tensor, *, negatives: Count = 16, sampling: Sampling = "marginal"
) -> Tensor:
    """The share of the negatives of `sampled_infonce` that are of the anchor's class; 0 without any negative."""
    chosen, valid = _drawn_negatives(labels, draws, negatives, sampling)
    collided = (labels[chosen] == labels[:, None]) & valid[:, None]
    return collided.sum() / (valid.sum() * negatives).clamp(min=1)


def collision_rate_of_indices(labels: Tensor, anchor: Tensor, negative_rows: Tensor) -> Tensor:
    """The share of `negative_rows` [A, k] with the label of their anchor [A]; labels [M]."""
    return (labels[negative_rows] == labels[anchor][:, None]).double().mean()


def _drawn_negatives(labels: Tensor, draws: Tensor, negatives: int, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The images [N, negatives] drawn for each image, and whether there were any to draw from [N]."""
    one_of(sampling, Sampling, "sampling")
    if negatives < 1:
        raise ValueError(f"negatives must be at least 1, got {negatives}")
    candidates = ~(same_image(labels) if sampling == "marginal" else same_label(labels))
    # Choice 0 is the positive's.
    return drawn_images(candidates, draws, negatives, first=1), candidates.any(dim=1)


def _losses_of_indices(
    rows: Tensor,
    anchor: Tensor,
    positive_row: Tensor,
    negative_rows: Tensor,
    temperature: float,
    denominator: DrawnDenominator,
) -> Tensor:
    """Each anchor's loss [A]. All inner products are made and a few are picked: quicker than gathering vectors."""
    one_of(denominator, DrawnDenominator, "denominator")
    unit = unit_rows(rows)
    logits = unit[anchor] @ unit.T / positive(temperature)
    attracted = logits.gather(1, positive_row[:, None])
    repelled = logits.gather(1, negative_rows)
    compared = repelled if denominator == "decoupled" else torch.cat([attracted, repelled], dim=1)
    return compared.logsumexp(dim=1) - attracted[:, 0]
