"""Adapters of the families about classes and groups: balanced contrast, long tails, prototypes, Group-DRO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from raycon.datasets.long_tail import long_tail_counts
from raycon.losses import balanced_contrastive, esupcon
from raycon.losses.group_dro import group_dro_step
from raycon.losses.logit_adjusted_cross_entropy import adjusted_cross_entropy
from raycon.losses.similarity import unit_rows
from raycon.losses.tightness import spce
from raycon.networks.cosine_classifier import cosine_logits
from raycon.scores.shots import shot_accuracies
from tests.golden.vectors import Vector

KINDS: dict[str, Any] = {"exp": "exponential", "step": "step"}


def _free_and_raw(vector: Vector, prototypes: str, loss: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """The loss with its gradient by the unit rows, and with that by the rows before they were made unit."""
    value = loss(vector.leaf("features"), vector.leaf(prototypes))
    rows = vector.tensor("features_raw").clone().requires_grad_()
    centres = vector.tensor(f"{prototypes}_raw").clone().requires_grad_()
    again = loss(unit_rows(rows), unit_rows(centres))
    by_rows, by_centres = torch.autograd.grad(again, (rows, centres))
    return {"loss": value, "grad_raw": by_rows, f"grad_{prototypes}_raw": by_centres}


def _bcl(vector: Vector) -> Mapping[str, Tensor]:
    labels, temperature = vector.tensor("labels"), vector.number("temperature")
    return _free_and_raw(
        vector, "centers", lambda rows, centres: balanced_contrastive(rows, labels, centres, temperature=temperature)
    )


def _esupcon(vector: Vector) -> Mapping[str, Tensor]:
    labels = vector.tensor("labels")
    knobs = {name: vector.number(name) for name in ("temperature", "prototype_weight")}
    return _free_and_raw(vector, "prototypes", lambda rows, centres: esupcon(rows, labels, centres, **knobs))


def _logitadjust(vector: Vector) -> Tensor:
    return adjusted_cross_entropy(
        vector.leaf("logits"),
        vector.tensor("labels"),
        vector.tensor("class_counts"),
        strength=vector.number("tau"),
        weight=vector.tensor("weight") if vector.flag("has_weight") else None,
    )


def _cosfc(vector: Vector) -> Mapping[str, Tensor]:
    """Stored weights have a column a class."""
    return {"logits": cosine_logits(vector.tensor("x"), vector.tensor("weight").T, scale=vector.number("scale"))}


def _shotacc(vector: Vector) -> Mapping[str, Tensor]:
    """The reference gives an empty group 0."""
    predicted, labels = vector.tensor("preds"), vector.tensor("labels")
    found, by_class = shot_accuracies(predicted, labels, vector.tensor("train_labels"), empty=0.0)
    stored = {name: torch.tensor(found[name], dtype=torch.float64) for name in ("many", "medium", "few")}
    return stored | {"per_class": by_class}


def _ltcounts(vector: Vector) -> Mapping[str, Tensor]:
    counts = long_tail_counts(
        int(vector.number("num_classes")),
        int(vector.number("max_per_class")),
        vector.number("imb_factor"),
        KINDS[str(vector.arrays["imb_type"])],
    )
    return {"counts": torch.tensor(counts)}


def _spce(vector: Vector) -> Tensor:
    """Stored rows are [N, D]: one view."""
    return spce(vector.leaf("features").unsqueeze(1), vector.tensor("labels"))


def _gdro(vector: Vector) -> Mapping[str, Tensor]:
    """Consecutive steps of one run, from equal weights."""
    logits, counts = vector.leaf("logits"), vector.tensor("group_counts")
    log_weights = torch.zeros(len(counts), dtype=logits.dtype)
    losses, weights = [], []
    for rows, labels, groups in zip(logits, vector.tensor("labels"), vector.tensor("groups"), strict=True):
        loss, log_weights = group_dro_step(
            rows,
            labels,
            groups,
            log_weights,
            counts,
            step_size=vector.number("step_size"),
            size_adjustment=vector.number("size_adjustment"),
        )
        losses.append(loss)
        weights.append(log_weights.exp())
    return {"loss": torch.stack(losses), "group_weights": torch.stack(weights)}


ADAPTERS: dict[str, Callable[[Vector], Tensor | Mapping[str, Tensor]]] = {
    "bcl": _bcl,
    "esupcon": _esupcon,
    "spce": _spce,
    "logitadjust": _logitadjust,
    "cosfc": _cosfc,
    "shotacc": _shotacc,
    "ltcounts": _ltcounts,
    "gdro": _gdro,
}
