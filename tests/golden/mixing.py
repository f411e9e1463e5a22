"""Adapters of the methods that mix images: UniCon and SelecMix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from raycon.losses import (
    generalised_cross_entropy_reference,
    generalised_supcon_reference,
    unicon,
    unicon_append,
)
from raycon.losses.similarity import unit_rows
from raycon.transforms.oracle_mix import contradicting
from raycon.transforms.pairing import choose_partners, mix_with_partners
from raycon.transforms.selecmix import contradicting_negatives, contradicting_positives, own_shares
from raycon.transforms.universum import mix_universum
from tests.golden.vectors import Vector

TOLERANCES: dict[tuple[str, str], float] = {
    # The reference mixes in float32 numbers of up to about 4.
    ("selecpair", "mixed"): 5e-7,
    ("selecgt", "mixed"): 5e-7,
}


def _image_major(vector: Vector, rows: Tensor) -> Tensor:
    """Stored universum rows are view-major [V*N, D]."""
    return rows.view(-1, len(vector.tensor("labels")), rows.shape[1]).transpose(0, 1)


def _unicon(vector: Vector) -> Tensor | Mapping[str, Tensor]:
    contrast: Any = {"all": "all", "one": "first_view"}[str(vector.arrays["contrast_mode"])]
    features, universum = vector.leaf("features"), vector.leaf("universum", "grad_universum")
    loss = unicon(
        features,
        _image_major(vector, universum),
        vector.tensor("labels"),
        temperature=vector.number("temperature"),
        contrast=contrast,
        base_temperature=vector.number("base_temperature"),
    )
    if not vector.flag("ref_nan"):
        return loss
    # An anchor without positives made the reference's loss NaN, and with it all that depends on that anchor. The other
    # anchors' gradients are finite, and there the two must agree.
    assert loss.isfinite()
    found = torch.autograd.grad(loss, list(vector.free.values()))
    made = dict(zip(vector.free, found, strict=True))
    assert all(gradient.isfinite().all() for gradient in found)
    vector.free.clear()
    return {name: torch.where(vector.tensor(name).isnan(), vector.tensor(name), value) for name, value in made.items()}


def _uniconappend(vector: Vector) -> Tensor:
    features, universum = vector.leaf("features"), vector.leaf("universum", "grad_universum")
    labels, temperature = vector.tensor("labels"), vector.number("temperature")
    return unicon_append(features, _image_major(vector, universum), labels, temperature=temperature)


def _universum(vector: Vector) -> Mapping[str, Tensor]:
    made = mix_universum(vector.tensor("images"), vector.tensor("partner_index"), vector.number("lamda"))
    return {"universum": made}


def _selecgsc(vector: Vector) -> Mapping[str, Tensor]:
    knobs: dict[str, Any] = {
        "temperature": vector.number("temp"),
        "amplification": vector.number("q"),
        "generalised": vector.flag("gsc"),
    }
    labels = vector.tensor("labels")
    raw = vector.tensor("x").clone().requires_grad_()
    through = generalised_supcon_reference(unit_rows(raw).unsqueeze(1), labels, **knobs)
    loss = generalised_supcon_reference(vector.leaf("z").unsqueeze(1), labels, **knobs)
    return {"loss": loss, "grad_x": torch.autograd.grad(through, raw)[0]}


def _selecgce(vector: Vector) -> Mapping[str, Tensor]:
    logits, labels, q = vector.leaf("logits").unsqueeze(1), vector.tensor("labels"), vector.number("q")
    return {
        "loss": generalised_cross_entropy_reference(logits, labels, amplification=q),
        "per_sample": generalised_cross_entropy_reference(logits, labels, amplification=q, reduction="none"),
    }


def _mixed(vector: Vector, partners: Tensor) -> dict[str, Tensor]:
    """The stored names of what mixing gives; the partner's label counts fully for paired images, else the own one."""
    shares = own_shares(vector.tensor("lam_raw"), 0.5)
    made = mix_with_partners(vector.tensor("x").unsqueeze(1), vector.tensor("labels"), partners, shares)
    return {
        "mixed": made["mixed_views"].squeeze(1),
        "mix_label": made["mixed_labels"],
        "lam_a": (made["paired"] == 0).to(made["paired"].dtype),
        "lam_b": made["paired"],
    }


def _selecpair(vector: Vector) -> Mapping[str, Tensor]:
    """Our partners are the rule's; mixing is compared with the reference's own partners, some of which break it."""
    similarity, labels = vector.tensor("sim"), vector.tensor("labels")
    used = vector.tensor(vector.choose("mode", "idx_intra", "idx_inter"))
    found = {
        "strict_intra": contradicting_positives(similarity, labels),
        "strict_inter": contradicting_negatives(similarity, labels),
    }
    picked = {name: _or_equal(similarity, partners, vector.tensor(name)) for name, partners in found.items()}
    return picked | _mixed(vector, used)


def _or_equal(similarity: Tensor, found: Tensor, stored: Tensor) -> Tensor:
    """`found`, or the stored partner where that is exactly as similar: among equals the rule does not choose."""
    here, there = (similarity.gather(1, partners.clamp(min=0)[:, None])[:, 0] for partners in (found, stored))
    return torch.where((here == there) & (found >= 0) & (stored >= 0), stored, found)


def _selecgt(vector: Vector) -> Mapping[str, Tensor]:
    kind: Any = vector.choose("mode", "positive", "negative")
    allowed = contradicting(vector.tensor("labels"), vector.tensor("bias"), kind)
    partners = choose_partners(allowed, torch.zeros(len(allowed)))  # a draw of 0 takes the first
    found = partners >= 0
    made = _mixed(vector, partners)
    # Of an unpaired image the reference names row 0 and its label, and gives them no weight.
    named = {"idx": partners, "mix_label": made["mix_label"]}
    return {
        **made,
        **{name: torch.where(found, values, vector.tensor(name)) for name, values in named.items()},
        "unpaired": (~found).to(vector.tensor("unpaired").dtype),
    }


ADAPTERS: dict[str, Callable[[Vector], Tensor | Mapping[str, Tensor]]] = {
    "unicon": _unicon,
    "uniconappend": _uniconappend,
    "universum": _universum,
    "selecgsc": _selecgsc,
    "selecgce": _selecgce,
    "selecpair": _selecpair,
    "selecgt": _selecgt,
}
