"""Vectors of methods with a momentum network: SCE, its queue, and RenyiCL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from raycon.losses import mutual_information, renyi, renyi_surrogate, sce_of_pairs, sce_target
from raycon.networks.queue import enqueue
from tests.golden.vectors import Vector


def _sce_knobs(vector: Vector) -> dict[str, Any]:
    return {"momentum_temperature": vector.number("temperature_m"), "mixing": vector.number("coeff")}


def _sce(vector: Vector) -> dict[str, Tensor]:
    keys, queue = vector.tensor("k"), vector.tensor("queue").T
    knobs = {"self_logit": "zero", "candidates": "queue", **_sce_knobs(vector)}
    loss = sce_of_pairs(vector.leaf("q"), keys, queue, temperature=vector.number("temperature"), **knobs)
    return {"loss": loss, "target": sce_target(keys, queue, **knobs)}


def _scekeys(vector: Vector) -> Tensor:
    return sce_of_pairs(
        vector.leaf("q"),
        vector.tensor("k"),
        vector.tensor("queue").T,
        temperature=vector.number("temperature"),
        self_logit="mask",
        candidates="keys_and_queue",
        **_sce_knobs(vector),
    )


def _scequeue(vector: Vector) -> dict[str, Tensor]:
    """Columns are vectors there."""
    queue, pointer = vector.tensor("queue_before").T, vector.tensor("ptr_before")
    for keys in vector.tensor("keys"):
        queue, pointer = enqueue(queue, pointer, keys)
    return {"queue_after": queue.T, "ptr_after": pointer}


def _renyi_knobs(vector: Vector) -> dict[str, Any]:
    return {
        "temperature": vector.number("temp"),
        "order": vector.number("gamma"),
        "skew": vector.number("alpha"),
        "targets": 2,
    }


def _renyi(vector: Vector) -> dict[str, Tensor]:
    """Views stand first there. `loss` is the surrogate; the gradients are the objective's."""
    knobs = _renyi_knobs(vector)
    free = [vector.tensor(name).clone().requires_grad_() for name in ("z_s", "z_t")]
    online, target = (views.transpose(0, 1) for views in free)
    objective = renyi(online, target, **knobs)
    by_online, by_target = torch.autograd.grad(objective, free)
    found = {
        "loss": renyi_surrogate(online, target, **knobs).squeeze(0),
        "objective": objective,
        "grad": by_online,
        "grad_t_if_not_detached": by_target,
    }
    if knobs["skew"] < 1 and "mi" in vector.arrays:  # at 1 the reference divides 0 by 0
        del knobs["order"]
        found["mi"] = mutual_information(online, target, **knobs)
    return found


def _renyi_dist(vector: Vector) -> dict[str, Tensor]:
    """Ranks stand first there, then views. `loss` and `grad` are each rank's own, the others of the whole batch."""
    online = vector.leaf("z_s").transpose(1, 2).flatten(0, 1)
    target = vector.tensor("z_t").transpose(1, 2).flatten(0, 1)
    knobs = _renyi_knobs(vector)
    views_first = online.detach().transpose(0, 1).requires_grad_()
    whole = views_first.transpose(0, 1)
    (gradient,) = torch.autograd.grad(renyi(whole, target, **knobs), views_first)
    return {
        "loss": renyi_surrogate(online, target, workers=len(vector.arrays["loss"]), **knobs),
        "loss_global": renyi_surrogate(whole, target, **knobs).squeeze(0),
        "grad_global": gradient,
    }


ADAPTERS: dict[str, Callable[[Vector], Tensor | Mapping[str, Tensor]]] = {
    "sce": _sce,
    "scekeys": _scekeys,
    "scequeue": _scequeue,
    "renyi": _renyi,
    "renyi_ovf": _renyi,
    "renyi_dist": _renyi_dist,
}
