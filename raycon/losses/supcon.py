"""Supervised contrastive loss: images of a class attract each other, all others repel."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Positive, Whole
from raycon.losses.similarity import (
    Denominator,
    Form,
    log_ratio_loss,
    not_self,
    one_of,
    positive,
    rescaled,
    same_label,
    view_rows,
)

Contrast = Literal["all", "first_view", "cross_view", "cross_view_one_way"]
RowContrast = Literal["all", "first_view"]


def supcon(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.1,
    form: Form = "out",
    denominator: Denominator = "all",
    contrast: Contrast = "all",
    base_temperature: Positive | None = None,
) -> Tensor:
    """Supervised contrastive loss.

    With s_ab = <z_a, z_b> / temperature, P(a) the other rows of a's class and Q(a) the rows of other classes:
    out form: mean over anchors a and p in P(a) of  -s_ap + log sum_{b in P(a) or Q(a)} e^{s_ab};
    in form: mean over anchors of  -log mean_{p in P(a)} [e^{s_ap} / sum_b e^{s_ab}], never above the out form.
    Source: Khosla et al. 2020 (arXiv 2004.11362), eq. 2 (out) and eq. 3 (in); the in form with the mean inside the log,
    as in the authors' TensorFlow code.

    Args:
        features: [N, V, D], V >= 1, rows of unit length (inner products are taken as they are).
        labels: [N] int64.
        temperature: divides the inner products; about 0.05 to 0.5.
        form: `out` or `in`.
        denominator: `all` is the paper's. `one_positive` keeps only the pair's own positive beside the negatives
            (Perfectly Balanced; the supervised InfoNCE). `negatives` drops that one too (decoupled).
        contrast: `all` compares all rows. `first_view` takes only view 0 as anchors. `cross_view` compares each ordered
            pair of views by itself: candidates lie in the other view only, and the other view of the anchor's own image
            is among its positives; mean over the pairs. `cross_view_one_way` only takes anchors of the later view.
        base_temperature: multiplies the loss by temperature / base_temperature. None (default) does not: the rescaling
            couples temperature and step size. 0.07 is the authors' PyTorch default, 1 the TensorFlow one.

    Degenerate: an anchor without positives contributes 0 and stays in the mean; no negatives is defined, except that
    `denominator: negatives` then contributes 0. Identical rows: log(VN - 1) with the defaults.
    Raises ValueError for a cross-view contrast of one view, for wrong shapes, and for knobs outside what they may be.

    >>> import torch
    >>> rows = torch.eye(4).reshape(4, 1, 4)
    >>> round(supcon(rows, torch.tensor([0, 0, 1, 1]), temperature=1.0).item(), 4)  # log 3
    1.0986
    """
    view_rows(features, labels)
    positives = labels[:, None] == labels[None, :]
    return supcon_of_pairs(
        features,
        positives,
        temperature=temperature,
        form=form,
        denominator=denominator,
        contrast=contrast,
        base_temperature=base_temperature,
    )


def supcon_of_pairs(
    features: Tensor,
    positives: Tensor,
    *,
    temperature: Positive = 0.1,
    form: Form = "out",
    denominator: Denominator = "all",
    contrast: Contrast = "all",
    base_temperature: Positive | None = None,
) -> Tensor:
    """`supcon` with the positive pairs given: `positives` [N, N] bool, row = anchor's image, not necessarily symmetric.

    All pairs that are not positive are negatives. A row is never compared with itself; whether two views of one image
    attract is said by the diagonal. Not a catalogue term: no file can name a matrix of pairs.
    Source: Khosla et al. 2020 (arXiv 2004.11362), eq. 2 and 3, with the `mask` argument of the authors' PyTorch code.
    """
    one_of(contrast, Contrast, "contrast")
    if contrast in ("cross_view", "cross_view_one_way"):
        view_rows(features, views=2)
        one_way = contrast == "cross_view_one_way"
        losses = torch.cat(
            [
                log_ratio_loss(logits, positives, ~positives, form=form, denominator=denominator)
                for logits in cross_view_logits(features, temperature, one_way=one_way)
            ]
        )
    else:
        rows = view_rows(features)
        views = features.shape[1]
        anchors = len(features) if contrast == "first_view" else len(rows)
        other = not_self(rows)[:anchors]
        alike = positives.repeat(views, views)[:anchors]
        logits = rows[:anchors] @ rows.T / positive(temperature)
        losses = log_ratio_loss(logits, alike & other, ~alike & other, form=form, denominator=denominator)
    return rescaled(losses.mean(), temperature, base_temperature)


def cross_view_logits(features: Tensor, temperature: float, *, one_way: bool) -> list[Tensor]:
    """Logits [N, N] for each ordered pair of different views (one way: anchors in the later view only)."""
    views = features.unbind(dim=1)
    return [
        anchors @ candidates.T / positive(temperature)
        for i, anchors in enumerate(views)
        for j, candidates in enumerate(views)
        if (i > j if one_way else i != j)
    ]


def supcon_google(
    features: Tensor,
    labels: Tensor | None,
    *,
    temperature: Positive = 0.1,
    form: Form = "out",
    denominator: Denominator = "all",
    contrast: RowContrast = "all",
    positives_cap: Whole | None = None,
    scale_by_temperature: bool = True,
) -> Tensor:
    """The supervised contrastive loss exactly as the authors' TensorFlow code computes it: for comparisons.

    It differs from `supcon` in three places: the loss is multiplied by the temperature; `positives_cap` keeps, beside
    the anchor's own views, only the cap // V other images of its class that stand first in the batch (the dropped ones
    leave the denominator too); with one view each anchor's loss is divided by its number of positives a second time.
    Source: Khosla et al. 2020 (arXiv 2004.11362), eq. 2 and 3; google-research/supcon/losses.py.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64, or None: every image is a class of its own.
        temperature, form, denominator, contrast: as in `supcon`.
        positives_cap: a count of rows, >= 0, or None for no cap. With a cap the value depends on the batch's order.
        scale_by_temperature: multiply by the temperature.

    Degenerate: as `supcon`. Identical rows: temperature * log(VN - 1) with the defaults and two or more views.
    """
    one_of(contrast, RowContrast, "contrast")
    rows = view_rows(features) if labels is None else view_rows(features, labels)
    images, views = len(features), features.shape[1]
    own = ~not_self(features)
    alike = own if labels is None else same_label(labels)
    kept = alike
    if positives_cap is not None:
        if positives_cap < 0:
            raise ValueError(f"positives_cap must be at least 0, got {positives_cap}")
        rank = (alike & ~own).cumsum(dim=1)
        kept = own | (alike & (rank <= positives_cap // views))
    anchors = images if contrast == "first_view" else len(rows)
    positives = kept.repeat(views, views)[:anchors] & not_self(rows)[:anchors]
    negatives = ~alike.repeat(views, views)[:anchors]
    logits = rows[:anchors] @ rows.T / positive(temperature)
    losses = log_ratio_loss(logits, positives, negatives, form=form, denominator=denominator)
    if views == 1:
        losses = losses / positives.sum(dim=1).clamp(min=1)
    return losses.mean() * temperature if scale_by_temperature else losses.mean()
