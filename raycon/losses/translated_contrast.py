"""Contrast of bias-translated views: what an image is under one bias, it is to be under another (CDvG)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import Denominator, one_of, same_image, unit_rows, view_rows
from raycon.losses.supcon import supcon_of_pairs

Positives = Literal["instance", "instance_single", "label"]


def translated_contrast(
    translated_features: Tensor,
    labels: Tensor,
    *,
    temperature: Positive = 0.5,
    positives: Positives = "instance",
) -> Tensor:
    """Contrastive loss between views of an image that were translated to the bias of different labels.

    With s_ab = cos(z_a, z_b) / temperature over the V * N rows, mean over anchors a and their positives p of
    -s_ap + log sum_{m != a} e^{s_am}  (`instance`: the positives are the other views of a's image; `label`: all other
    rows of a's label). `instance_single` keeps of an image's other views only p itself beside the rows of other images
    in the denominator; with two views it is `instance`.
    Source: the idea is CDvG's, Jung et al. 2023 (arXiv 2112.01021), whose authors published no code; this form, its
    variants and defaults are our own definition. `label` is the out form of SupCon.

    Args:
        translated_features: [N, V, D], V >= 2. Rows need not be of unit length: cosines are compared.
        labels: [N] int64; only `label` looks at them.
        temperature: divides the cosines; about 0.1 to 1.
        positives: `instance`, `instance_single` or `label`.

    Degenerate: one image has no negatives and gives log(V - 1), which is 0 for two views, and 0 with `instance_single`.
    Identical rows: log(VN - 1), but log(1 + V(N - 1)) with `instance_single`.
    Raises ValueError for a single view, for wrong shapes, and for knobs outside what they may be.

    >>> import torch
    >>> rows = torch.eye(2).reshape(2, 1, 2).expand(2, 2, 2)
    >>> round(translated_contrast(rows, torch.tensor([0, 1]), temperature=1.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    """
    one_of(positives, Positives, "positives")
    view_rows(translated_features, labels, views=2)
    by_label = positives == "label"
    denominator: Denominator = "one_positive" if positives == "instance_single" else "all"
    return supcon_of_pairs(
        unit_rows(translated_features),
        labels[:, None] == labels[None, :] if by_label else same_image(translated_features),
        temperature=temperature,
        denominator=denominator,
    )
