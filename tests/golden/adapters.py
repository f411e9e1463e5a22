"""One adapter a family: it renames arrays, reshapes them, makes rows unit where a vector stores them raw, and passes
knobs. Other arithmetic in one would be a defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from raycon.losses import (
    epsilon_infonce,
    epsilon_supcon,
    epsilon_supinfonce,
    fairkl,
    infonce,
    spread,
    spread_reference,
    supcon,
    supcon_google,
    supcon_of_pairs,
)
from tests.golden import classes, data, mixing, momentum, negatives, prototypes, translated
from tests.golden.vectors import Vector

Adapter = Callable[[Vector], Tensor | Mapping[str, Tensor]]

TOLERANCES: dict[tuple[str, str], float] = {**prototypes.TOLERANCES, **negatives.TOLERANCES, **mixing.TOLERANCES}
"""(family, array) -> absolute tolerance, where the reference computed in less than float64. None is wider than its
cause needs."""


def _temperatures(vector: Vector) -> dict[str, Any]:
    return {"temperature": vector.number("temperature"), "base_temperature": vector.number("base_temperature")}


def _contrast(vector: Vector) -> Any:
    return vector.choose("contrast_mode_all", "first_view", "all")


def _supcon_out(vector: Vector) -> Tensor:
    labels = vector.tensor("labels")
    return supcon(vector.leaf("features"), labels, contrast=_contrast(vector), **_temperatures(vector))


def _supcon_out_mask(vector: Vector) -> Tensor:
    positives = vector.tensor("mask").bool()
    return supcon_of_pairs(vector.leaf("features"), positives, contrast=_contrast(vector), **_temperatures(vector))


def _simclr(vector: Vector) -> Tensor:
    return infonce(vector.leaf("features"), contrast=_contrast(vector), **_temperatures(vector))


def _supcon_google(vector: Vector) -> Tensor:
    knobs: dict[str, Any] = {
        "form": vector.choose("inside", "out", "in"),
        "denominator": vector.choose("denominator_mode", "all", "one_positive", "negatives"),
        "contrast": _contrast(vector),
        "scale_by_temperature": vector.flag("scale_by_temperature"),
    }
    cap = int(vector.number("positives_cap"))
    return supcon_google(
        vector.leaf("features"),
        vector.tensor("labels") if "labels" in vector.arrays else None,
        temperature=vector.number("temperature"),
        positives_cap=None if cap == -1 else cap,
        **knobs,
    )


def _l_spread_clean(vector: Vector) -> Tensor:
    return spread(
        vector.leaf("features"),
        vector.tensor("labels"),
        alpha=vector.number("alpha"),
        temperature=vector.number("temperature"),
        symmetric=vector.flag("symmetric"),
    )


def _thanos_code(vector: Vector) -> Tensor:
    kind: Any = vector.choose("loss_type", "supcon", "spread", "simclr", "repel")
    return spread_reference(
        vector.leaf("features"),
        vector.tensor("labels"),
        kind=kind,
        temperature=vector.number("temperature"),
        supervised_weight=vector.number("a_lc"),
        spread_weight=vector.number("a_spread"),
        column_norms=vector.flag("lc_norm"),
        positive_clip=vector.number("clip_pos"),
        positives_in_denominator=vector.flag("pos_in_denom"),
        positives_weight=vector.number("pos_in_denom_weight"),
    )


def _margin(vector: Vector) -> dict[str, Any]:
    return {"epsilon": vector.number("epsilon"), "floor": vector.number("floor"), **_temperatures(vector)}


def _eps_supinfonce_out(vector: Vector) -> Tensor:
    return epsilon_supinfonce(vector.leaf("features"), vector.tensor("labels"), form="out", **_margin(vector))


def _eps_supinfonce_in(vector: Vector) -> Tensor:
    return epsilon_supinfonce(vector.leaf("features"), vector.tensor("labels"), form="in", **_margin(vector))


def _eps_supcon_out(vector: Vector) -> Tensor:
    return epsilon_supcon(vector.leaf("features"), vector.tensor("labels"), **_margin(vector))


def _eps_infonce(vector: Vector) -> Tensor:
    return epsilon_infonce(vector.leaf("features"), **_margin(vector))


def _bias_inputs(vector: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Stored rows are [N, D]: one view."""
    return vector.leaf("features").unsqueeze(1), vector.tensor("labels"), vector.tensor("bias_labels")


def _fairkl_code(vector: Vector) -> Tensor:
    return fairkl(
        *_bias_inputs(vector),
        variant="reference",
        spread_weight=vector.number("kld"),
        temperature=vector.number("temperature"),
    )


def _fairkl_paper(vector: Vector) -> Tensor:
    variant: Any = vector.choose("variant", "means", "kl", "jeffreys")
    return fairkl(*_bias_inputs(vector), variant=variant, variance_floor=0.0)


ADAPTERS: dict[str, Adapter] = (
    {
        "supcon_out": _supcon_out,
        "supcon_out_mask": _supcon_out_mask,
        "supcon_google": _supcon_google,
        "simclr": _simclr,
        "l_spread_clean": _l_spread_clean,
        "thanos_code": _thanos_code,
        "eps_supinfonce_out": _eps_supinfonce_out,
        "eps_supinfonce_nofloor": _eps_supinfonce_out,
        "eps_supinfonce_in": _eps_supinfonce_in,
        "eps_supcon_out": _eps_supcon_out,
        "eps_infonce": _eps_infonce,
        "fairkl_code": _fairkl_code,
        "fairkl_paper": _fairkl_paper,
    }
    | classes.ADAPTERS
    | data.ADAPTERS
    | momentum.ADAPTERS
    | prototypes.ADAPTERS
    | negatives.ADAPTERS
    | mixing.ADAPTERS
    | translated.ADAPTERS
)
