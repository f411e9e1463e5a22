"""The loss library: terms, which an `objective` section can name, and the pure functions that they are made of.

A term is a pure function: its positional arguments are tensors of `raycon.vocabulary`, its keyword-only arguments are
knobs with bounds in their types, its result is a scalar. To add one: write the function, an oracle of the same name in
tests/oracles/, and a line in `raycon/losses/terms.py`. Terms know nothing of workers, configuration or training.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raycon.losses import terms
from raycon.losses.debiased import clamped_count as clamped_count
from raycon.losses.debiased import clamped_share as clamped_share
from raycon.losses.debiased import clamped_share_supervised as clamped_share_supervised
from raycon.losses.debiased import debiased_of_samples as debiased_of_samples
from raycon.losses.generalised_cross_entropy import (
    generalised_cross_entropy_reference as generalised_cross_entropy_reference,
)
from raycon.losses.generalised_supcon import generalised_supcon_reference as generalised_supcon_reference
from raycon.losses.group_dro import largest_weight as largest_weight
from raycon.losses.group_dro import worst_loss as worst_loss
from raycon.losses.prototype_infonce import false_negatives as false_negatives
from raycon.losses.renyi import mutual_information as mutual_information
from raycon.losses.renyi import renyi_surrogate as renyi_surrogate
from raycon.losses.sampled_infonce import collision_rate as collision_rate
from raycon.losses.sampled_infonce import collision_rate_of_indices as collision_rate_of_indices
from raycon.losses.sampled_infonce import infonce_of_indices as infonce_of_indices
from raycon.losses.sce import sce_of_pairs as sce_of_pairs
from raycon.losses.sce import sce_target as sce_target
from raycon.losses.siamese_prototypical import siamese_prototypical as siamese_prototypical
from raycon.losses.supcon import supcon_of_pairs as supcon_of_pairs
from raycon.losses.terms import *  # noqa: F403  # every term under its own name

TERMS: dict[str, Callable[..., Tensor]] = {name: term for name, term in vars(terms).items() if callable(term)}
"""Name -> term."""

MEASURES: dict[str, dict[str, Callable[..., Tensor]]] = {
    "debiased": {"clamped_share": clamped_share},
    "debiased_supervised": {"clamped_share": clamped_share_supervised},
    "sampled_infonce": {"collision_rate": collision_rate},
    "renyi": {"mutual_information": mutual_information},
    "group_dro": {"largest_weight": largest_weight, "worst_loss": worst_loss},
    "prototype_infonce": {"false_negatives": false_negatives},
}
"""Term -> numbers that are logged beside its value as `train/objective/<key>_<name>`. A measure takes the term's
tensors, has some of its knobs, returns a scalar, and carries no gradient."""
