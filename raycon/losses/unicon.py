"""Contrastive losses against universum images: mixtures of two classes, which belong to none."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import log_ratio_loss, not_self, one_of, positive, rescaled, same_label, view_rows
from raycon.losses.supcon import RowContrast


def unicon(
    features: Tensor,
    universum_features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.1,
    contrast: RowContrast = "all",
    base_temperature: Positive | None = None,
) -> Tensor:
    """UniCon as its authors' code computes it: anchors are real rows, all candidates are universum rows.

    With u_j the universum row that was mixed from row j, P(a) the other rows of a's class and all j != a as candidates:
    mean over anchors a and p in P(a) of  -<z_a, u_p> / temperature + log sum_{j != a} e^{<z_a, u_j> / temperature}.
    No real row is ever compared with a real row, and the mixture made from the anchor itself is in neither set.
    Source: Han, Geng and Chen 2023 (UniCon, arXiv 2204.10695), the authors' public code `UniConLoss`.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        universum_features: [N, V, D]: entry (i, v) belongs to the image mixed from view v of image i.
        labels: [N] int64.
        temperature: divides the inner products; about 0.05 to 0.5.
        contrast: `all` rows are anchors, or only those of the `first_view`; the candidates are all rows either way.
        base_temperature: multiplies the loss by temperature / base_temperature. None (default) does not; the authors'
            code has 0.1 whatever the temperature, so that a search over temperatures rescales the loss as well.

    Degenerate: an anchor without positives (the only row of its class) contributes 0 and stays in the mean, where the
    authors' code gives NaN; one class only is defined. Identical universum rows: log(VN - 1) for an anchor with
    positives. Raises ValueError for wrong shapes.

    >>> import torch
    >>> rows = torch.eye(4).reshape(4, 1, 4)
    >>> round(unicon(rows, rows, torch.tensor([0, 0, 1, 1])).item(), 4)  # log 3
    1.0986
    """
    one_of(contrast, RowContrast, "contrast")
    rows, universum = _both(features, universum_features, labels)
    anchors = len(features) if contrast == "first_view" else len(rows)
    alike, other = same_label(labels, features.shape[1])[:anchors], not_self(rows)[:anchors]
    logits = rows[:anchors] @ universum.T / positive(temperature)
    return rescaled(log_ratio_loss(logits, alike & other, ~alike).mean(), temperature, base_temperature)


def unicon_append(
    features: Tensor, universum_features: Tensor, labels: Tensor, *, temperature: Positive = 0.1
) -> Tensor:
    """SupCon with all universum rows as further negatives: what UniCon's abstract describes, in our own definition.

    With s_ab = <z_a, z_b> / temperature and P(a) the other rows of a's class, mean over anchors a and p in P(a) of
    -s_ap + log( sum_{b != a} e^{s_ab} + sum over all universum rows u of e^{<z_a, u> / temperature} ).
    Source: our own definition, after Han, Geng and Chen 2023 (UniCon, arXiv 2204.10695); their code is `unicon`.

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        universum_features: [N, V, D], unit rows; their order does not matter.
        labels: [N] int64.
        temperature: divides the inner products; about 0.05 to 0.5.

    Degenerate: an anchor without positives contributes 0 and stays in the mean; one class only still has the universum
    rows as negatives. All rows identical: log(2VN - 1) for an anchor with positives. Raises ValueError for wrong
    shapes.

    >>> import torch
    >>> rows = torch.eye(8)[:, None]
    >>> round(unicon_append(rows[:4], rows[4:], torch.tensor([0, 0, 1, 1])).item(), 4)  # log 7
    1.9459
    """
    rows, universum = _both(features, universum_features, labels)
    alike, other = same_label(labels, features.shape[1]), not_self(rows)
    every = torch.ones_like(alike)
    logits = rows @ torch.cat([rows, universum]).T / positive(temperature)
    positives = torch.cat([alike & other, ~every], dim=1)
    negatives = torch.cat([~alike, every], dim=1)
    return log_ratio_loss(logits, positives, negatives).mean()


def _both(features: Tensor, universum_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and universum rows, in the same order."""
    rows = view_rows(features, labels)
    if universum_features.shape != features.shape:
        shapes = f"{list(features.shape)}, got {list(universum_features.shape)}"
        raise ValueError(f"universum_features must be of the shape of features, {shapes}")
    return rows, view_rows(universum_features)
