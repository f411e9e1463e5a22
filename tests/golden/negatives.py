"""Adapters of what is done about negatives: debiased, decoupled, drawn in a given number, and the population loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from raycon.losses import (
    clamped_count,
    collision_rate_of_indices,
    debiased,
    debiased_of_samples,
    decoupled,
    decoupled_weighted,
    infonce_of_indices,
)
from raycon.losses.similarity import unit_rows
from raycon.population import expected_classes_covered, no_collision_probability, optimal_gram, population_loss
from tests.golden.vectors import Vector

Values = Mapping[str, Tensor]

TOLERANCES: dict[tuple[str, str], float] = {
    # Both ends of a minimum that is flat there; what the vectors themselves say (`atol_S`).
    ("nnegopt", "S_opt"): 1e-4,
    ("nnegopt", "min_margin"): 1e-4,
}


def _dcl_debiased(vector: Vector) -> Values:
    """Without the correction there is no clamp to count."""
    features, corrected = vector.leaf("features"), vector.flag("debiased")
    knobs = {
        "temperature": vector.number("temperature"),
        "class_prior": vector.number("tau_plus") if corrected else 0.0,
    }
    found = {"loss": debiased(features, **knobs)}
    return found | ({"n_clamped": clamped_count(features.detach(), **knobs)} if corrected else {})


def _dcl_multi_positive(vector: Vector) -> Tensor:
    return debiased_of_samples(
        vector.leaf("features"),
        vector.leaf("positive"),
        vector.leaf("extra_positives", "grad_extra"),
        vector.leaf("negatives", "grad_neg"),
        temperature=vector.number("temperature"),
        class_prior=vector.number("tau_plus"),
    )


def _both_codes(vector: Vector, term: Callable[..., Tensor], **detached: Any) -> Values:
    """The sum over both directions, one direction, and the mean of the code that takes rows of any length."""
    features = vector.leaf("features")
    raw = vector.tensor("features_raw").clone().requires_grad_()
    one_way = term(features, contrast="first_view")
    summed_raw, mean_raw = term(unit_rows(raw), over_views="sum"), term(unit_rows(raw), **detached)
    return {
        "loss": term(features, over_views="sum"),
        "loss_oneway": one_way,
        "loss_mean": mean_raw,
        "grad_oneway": _gradient(one_way, features),
        "grad_raw": _gradient(summed_raw, raw),
        "grad_raw_mean_detached": _gradient(mean_raw, raw),
    }


def _gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


def _decoupled(vector: Vector) -> Values:
    def term(features: Tensor, **knobs: Any) -> Tensor:
        return decoupled(features, temperature=vector.number("temperature"), **knobs)

    return _both_codes(vector, term)


def _decoupledw(vector: Vector) -> Values:
    def term(features: Tensor, **knobs: Any) -> Tensor:
        temperature, sigma = vector.number("temperature"), vector.number("sigma")
        return decoupled_weighted(features, temperature=temperature, sigma=sigma, **knobs)

    return _both_codes(vector, term, weight_gradient="detach")


def _nneg(vector: Vector) -> Values:
    denominator: Any = vector.choose("decoupled", "with_positive", "decoupled")
    anchor, negatives = vector.tensor("anchor"), vector.tensor("negatives")
    loss = infonce_of_indices(
        vector.leaf("z"),
        anchor,
        vector.tensor("positive"),
        negatives,
        temperature=vector.number("temp"),
        denominator=denominator,
    )
    return {"loss": loss, "collision_rate": collision_rate_of_indices(vector.tensor("labels"), anchor, negatives)}


def _nnegpop(vector: Vector) -> Values:
    prior, negatives = vector.tensor("prior"), int(vector.number("k_neg"))
    temperature = vector.number("temp")
    return {
        "loss": population_loss(vector.tensor("S"), prior, negatives=negatives, temperature=temperature),
        "p_no_collision": no_collision_probability(prior, negatives=negatives),
        "expected_classes_covered": expected_classes_covered(prior, negatives=negatives),
    }


def _nnegopt(vector: Vector) -> Values:
    best = optimal_gram(
        vector.tensor("prior"), negatives=int(vector.number("k_neg")), temperature=vector.number("temp")
    )
    return {
        "loss": torch.tensor(best.loss, dtype=torch.float64),
        "S_opt": best.gram,
        "min_margin": torch.tensor(best.margin, dtype=torch.float64),
    }


ADAPTERS: dict[str, Callable[[Vector], Tensor | Values]] = {
    "dcl_debiased": _dcl_debiased,
    "dcl_multi_positive": _dcl_multi_positive,
    "decoupled": _decoupled,
    "decoupledw": _decoupledw,
    "nneg": _nneg,
    "nnegpop": _nnegpop,
    "nnegopt": _nnegopt,
}
