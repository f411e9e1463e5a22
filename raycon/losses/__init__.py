"""The catalogue of terms: what an `objective` section can name.

A term is a pure function: its positional arguments are tensors of `raycon.vocabulary`, its keyword-only arguments are
knobs with bounds in their types, its result is a scalar. To add one: write the function, an oracle of the same name in
tests/oracles/, and a line below. Terms know nothing of workers, configuration or training.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raycon.losses.class_conditional_infonce import class_conditional_infonce
from raycon.losses.cross_entropy import cross_entropy
from raycon.losses.epsilon_supinfonce import epsilon_infonce, epsilon_supcon, epsilon_supinfonce
from raycon.losses.fairkl import fairkl
from raycon.losses.infonce import infonce
from raycon.losses.perfectly_balanced import spread, spread_reference
from raycon.losses.reconstruction import reconstruction
from raycon.losses.supcon import supcon, supcon_google, supcon_of_pairs

TERMS: dict[str, Callable[..., Tensor]] = {
    "supcon": supcon,  # Khosla et al. 2020, arXiv 2004.11362
    "supcon_google": supcon_google,  # the same, exactly as the authors' TensorFlow code
    "infonce": infonce,  # SimCLR, Chen et al. 2020, arXiv 2002.05709
    "class_conditional_infonce": class_conditional_infonce,  # Perfectly Balanced, Chen et al. 2022, arXiv 2204.07596
    "spread": spread,  # Perfectly Balanced, supervised and class-conditional part in one term
    "spread_reference": spread_reference,  # the same, exactly as the authors' code
    "epsilon_supinfonce": epsilon_supinfonce,  # Barbano et al. 2023, arXiv 2211.05568, eq. 4
    "epsilon_supcon": epsilon_supcon,  # Barbano et al. 2023, eq. 5
    "epsilon_infonce": epsilon_infonce,  # Barbano et al. 2023, eq. 2
    "fairkl": fairkl,  # Barbano et al. 2023, eq. 9; the authors' code; ours by moments
    "reconstruction": reconstruction,  # class-conditional autoencoder, Chen et al. 2022, arXiv 2204.07596
    "cross_entropy": cross_entropy,  # Szegedy et al. 2016 for the smoothing, arXiv 1512.00567
}

MEASURES: dict[str, dict[str, Callable[..., Tensor]]] = {}
"""Term -> numbers that are logged beside its value as `train/objective/<key>_<name>`. A measure takes the term's
tensors, has some of its knobs, returns a scalar, and carries no gradient."""

__all__ = [
    "MEASURES",
    "TERMS",
    "class_conditional_infonce",
    "cross_entropy",
    "epsilon_infonce",
    "epsilon_supcon",
    "epsilon_supinfonce",
    "fairkl",
    "infonce",
    "reconstruction",
    "spread",
    "spread_reference",
    "supcon",
    "supcon_google",
    "supcon_of_pairs",
]
