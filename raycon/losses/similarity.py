"""The maths that pairwise losses share: pair masks and masked reductions in log space.

Rows are views flattened view-major: row `v * N + i` is view v of image i. A masked reduction over an empty set is
defined and has zero gradient, so that a class with one image or a batch without negatives never makes a NaN.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Form = Literal["out", "in"]
Denominator = Literal["all", "one_positive", "negatives"]


def view_rows(features: Tensor, *labels: Tensor, views: int = 1) -> Tensor:
    """Features [N, V, D] as rows [V*N, D]. Raises ValueError for another rank, an empty batch, labels that are not [N],
    or fewer than `views` views."""
    if features.ndim != 3 or features.numel() == 0:
        raise ValueError(f"features must be [images, views, dimensions] and not empty, got {list(features.shape)}")
    if features.shape[1] < views:
        raise ValueError(
            f"this loss compares views of the same image: it needs at least {views}, got {features.shape[1]}"
        )
    for given in labels:
        if given.shape != features.shape[:1]:
            raise ValueError(f"labels must be [{len(features)}], one for each image, got {list(given.shape)}")
    return features.transpose(0, 1).flatten(0, 1)


def prototype_rows(prototypes: Tensor, features: Tensor) -> Tensor:
    """`prototypes` [K, D] themselves. Raises ValueError for another rank, or another width than that of `features`."""
    if prototypes.ndim != 2 or prototypes.shape[1] != features.shape[-1]:
        shapes = f"{list(prototypes.shape)} for features {list(features.shape)}"
        raise ValueError(f"prototypes must be [classes, dimensions], got {shapes}")
    return prototypes


def distances(rows: Tensor) -> Tensor:
    """Euclidean distances [A, A] from differences, not from inner products: exact for rows that almost coincide, and
    with gradient 0 where they do."""
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def unit_rows(rows: Tensor) -> Tensor:
    """Rows [..., D] of any length but 0, made of unit length."""
    return functional.normalize(rows, dim=-1)


def one_of(value: str, allowed: Any, name: str) -> None:
    """Raises ValueError unless `value` is of the Literal `allowed`. `name` is the knob's."""
    if value not in get_args(allowed):
        raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {value!r}")


def positive(value: float, name: str = "temperature") -> float:
    """`value` itself. Raises ValueError for 0, negative numbers and NaN. `name` is the knob's."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return value


def same_label(labels: Tensor, views: int = 1) -> Tensor:
    """[V*N, V*N] bool: do the two rows' images have the same label (the diagonal included)?"""
    repeated = labels.repeat(views)
    return repeated[:, None] == repeated[None, :]


def same_image(features: Tensor) -> Tensor:
    """[N, N] bool: the positive pairs when every image is a class of its own."""
    return torch.eye(len(features), dtype=torch.bool, device=features.device)


def not_self(rows: Tensor) -> Tensor:
    """[A, A] bool: False on the diagonal."""
    return ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)


def masked_logsumexp(logits: Tensor, mask: Tensor) -> Tensor:
    """log of the sum of exp over each row's `mask`: [A, C] -> [A, 1].

    An empty row gives the most negative finite number, which `logaddexp` then ignores; minus infinity would turn the
    gradient into NaN.
    """
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)


def masked_count(mask: Tensor) -> Tensor:
    """Members of each row [A, 1], at least 1 so that it can divide."""
    return mask.sum(dim=1, keepdim=True).clamp(min=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's `mask`, 0 for an empty row: [A, C] -> [A]."""
    return values.masked_fill(~mask, 0.0).sum(dim=1) / masked_count(mask)[:, 0]


def zero_unless(valid: Tensor, values: Tensor) -> Tensor:
    """`values` where `valid`, else 0 without gradient. Both [A]."""
    return values.masked_fill(~valid, 0.0)


def with_floor(log_denominator: Tensor, all_logits: Tensor, floor: float) -> Tensor:
    """log(denominator + floor * e^m), m = each row's largest logit, the self pair included, without gradient.

    That is what adding `floor` to a denominator shifted by the row's maximum amounts to; 0 changes nothing.
    """
    if floor == 0:
        return log_denominator
    shift = all_logits.detach().amax(dim=1, keepdim=True)
    return torch.logaddexp(log_denominator, shift + math.log(floor))


def log_ratio_loss(
    logits: Tensor, positives: Tensor, negatives: Tensor, *, form: Form = "out", denominator: Denominator = "all"
) -> Tensor:
    """Each anchor's loss [A] from logits and the bool masks of its positives P and negatives Q, all [A, C].

    out: mean over p in P of -log(e^{s_p} / Z_p);  in: -log of the mean over p in P of e^{s_p} / Z_p.
    Z_p: `all` = sum over P and Q, `one_positive` = e^{s_p} + sum over Q, `negatives` = sum over Q.
    An anchor without positives, or with an empty Z, gives 0. Raises ValueError for another form or denominator.
    """
    one_of(form, Form, "form")
    one_of(denominator, Denominator, "denominator")
    if denominator == "one_positive":
        log_denominator = torch.logaddexp(logits, masked_logsumexp(logits, negatives))
    else:
        log_denominator = masked_logsumexp(logits, negatives if denominator == "negatives" else positives | negatives)
    log_ratio = logits - log_denominator
    if form == "out":
        losses = -masked_mean(log_ratio, positives)
    else:
        losses = (masked_count(positives).to(logits.dtype).log() - masked_logsumexp(log_ratio, positives))[:, 0]
    valid = positives.any(dim=1)
    return zero_unless(valid & negatives.any(dim=1) if denominator == "negatives" else valid, losses)


def rescaled(loss: Tensor, temperature: float, base_temperature: float | None) -> Tensor:
    """`loss` times temperature / base_temperature, as public SupCon code has it; None leaves it alone."""
    return loss if base_temperature is None else loss * (temperature / positive(base_temperature, "base_temperature"))
