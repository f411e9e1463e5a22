"""The catalogue of transforms: pure functions from tensors of a batch to more tensors, before the encoder.

A transform asks for tensors by its positional parameters, has its knobs keyword-only, and returns {name: tensor} with
names of the vocabulary that the data do not offer. `PROVIDES` says which, since that must be known without running it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raycon.transforms.cutmix import cutmix
from raycon.transforms.mixup import mixup
from raycon.transforms.oracle_mix import oracle_mix
from raycon.transforms.selecmix import selecmix
from raycon.transforms.universum import universum

_MIXED = ("mixed_views", "mixed_labels", "mixed_share")

TRANSFORMS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "universum": universum,  # UniCon, Han et al. 2023, arXiv 2204.10695
    "mixup": mixup,  # Zhang et al. 2018, arXiv 1710.09412
    "cutmix": cutmix,  # Yun et al. 2019, arXiv 1905.04899
    "selecmix": selecmix,  # Hwang et al. 2022, arXiv 2211.02291
    "oracle_mix": oracle_mix,  # the same with known bias labels
}
PROVIDES: dict[str, tuple[str, ...]] = {
    "universum": ("universum_views", "paired"),
    "mixup": _MIXED,
    "cutmix": _MIXED,
    "selecmix": (*_MIXED, "paired"),
    "oracle_mix": (*_MIXED, "paired"),
}
