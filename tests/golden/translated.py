"""Adapters of the families about translated views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from raycon.losses import translated_contrast
from tests.golden.vectors import Vector


def _cdvg(vector: Vector) -> Tensor:
    """Stored views are [V, N, D]."""
    positives: Any = vector.choose("mode", "instance", "instance_single", "label")
    features = vector.leaf("z").transpose(0, 1)
    return translated_contrast(
        features, vector.tensor("labels"), temperature=vector.number("temp"), positives=positives
    )


ADAPTERS: dict[str, Callable[[Vector], Tensor]] = {"cdvg": _cdvg}
