"""Data sets: `DATASETS` and `describe` are static; what reads or changes images is imported, with torch, when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from raycon.datasets.catalogue import DATASETS, REVEALABLE, Described, bias_attribute, describe, info_of
from raycon.datasets.info import CoarseMap, DatasetInfo

if TYPE_CHECKING:
    from raycon.datasets.augmentation import augment, check_augmentation, epoch_draws, normalise
    from raycon.datasets.loading import load_tables
    from raycon.datasets.places import RayconWarning
    from raycon.datasets.table import ImageTable

__all__ = [
    "DATASETS",
    "REVEALABLE",
    "CoarseMap",
    "DatasetInfo",
    "Described",
    "ImageTable",
    "RayconWarning",
    "augment",
    "bias_attribute",
    "check_augmentation",
    "describe",
    "epoch_draws",
    "info_of",
    "load_tables",
    "normalise",
]

_WITH_TORCH = {
    "ImageTable": "table",
    "RayconWarning": "places",
    "augment": "augmentation",
    "check_augmentation": "augmentation",
    "epoch_draws": "augmentation",
    "load_tables": "loading",
    "normalise": "augmentation",
}


def __getattr__(name: str) -> object:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
