"""Compares what an adapter computes with what a vector stores: value and gradient, in float64."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tests.golden.adapters import ADAPTERS, TOLERANCES
from tests.golden.vectors import NoVectors, Vector

RELATIVE, ABSOLUTE = 1e-9, 1e-10
SINGLE = 5e-4


@dataclass
class FamilyResult:
    """How many vectors of a family agree, and why the others do not."""

    family: str
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    without_adapter: int = 0

    @property
    def failed(self) -> int:
        return len(self.failures) + self.without_adapter

    def line(self) -> str:
        reasons = [*self.failures, *(["no adapter"] if self.without_adapter else [])]
        verdict = f"{self.family}: {self.passed} passed, {self.failed} failed"
        return f"{verdict} ({'; '.join(reasons)})" if reasons else verdict


def check_families(families: dict[str, list[Vector]], only: Iterable[str] = ()) -> list[FamilyResult]:
    """One result a family, of `only` those named if any. Raises NoVectors for a name that the folder lacks."""
    wanted = list(only) or list(families)
    for name in wanted:
        if name not in families:
            raise NoVectors(f"no vectors of family {name!r}; there are {', '.join(families)}")
    return [check_family(name, families[name]) for name in wanted]


def check_family(family: str, vectors: list[Vector], *, single: bool = False) -> FamilyResult:
    """Every vector of a family; without an adapter all of them fail.

    `single` computes in float32 and allows for its rounding: `SINGLE` of the largest number of an array.
    """
    result = FamilyResult(family)
    if family not in ADAPTERS:
        result.without_adapter = len(vectors)
        return result
    for vector in vectors:
        try:
            used = vector.single() if single else vector
            fault = _fault(used, ADAPTERS[family](used), vector, single=single)
        except Exception as error:  # a vector that cannot be computed is a failure to report, not the end of the run
            fault = f"{type(error).__name__}: {error}"
        if fault is None:
            result.passed += 1
        else:
            result.failures.append(f"{vector.path.stem}: {fault}")
    return result


def _fault(vector: Vector, made: Tensor | Mapping[str, Tensor], stored: Vector, *, single: bool) -> str | None:
    """What differs, or None. Several values are compared by the names under which the vector stores them."""
    found: dict[str, Tensor | None] = {"loss": made} if isinstance(made, Tensor) else dict(made)
    if vector.free:
        loss = found["loss"]
        assert loss is not None
        leaves = list(vector.free.values())
        # What a loss does not look at (a weight of zero) has a gradient of zero.
        found |= dict(zip(vector.free, torch.autograd.grad(loss.sum(), leaves, materialize_grads=True), strict=True))
    for name, value in found.items():
        if value is None:
            return f"{name} is missing"
        if fault := _difference(value.detach(), stored.tensor(name), _tolerances(stored, name, single)):
            return f"{name} {fault}"
    return None


def _tolerances(stored: Vector, name: str, single: bool) -> tuple[float, float]:
    """Relative and absolute. In float32 an error may be a share of the largest number: small gradients cancel."""
    family = re.sub(r"_\d+$", "", stored.path.stem)
    absolute = TOLERANCES.get((family, name), ABSOLUTE)
    if not single:
        return RELATIVE, absolute
    numbers = stored.tensor(name).double().abs().nan_to_num()
    return 0.0, max(absolute, SINGLE * max(numbers.max().item() if numbers.numel() else 0.0, 1e-2))


def _difference(value: Tensor, expected: Tensor, tolerances: tuple[float, float]) -> str | None:
    if expected.dtype.is_floating_point:
        value, expected = value.double(), expected.double()
    if value.shape != expected.shape:
        return f"has shape {list(value.shape)}, not {list(expected.shape)}"
    relative, absolute = tolerances
    if not torch.allclose(value, expected, rtol=relative, atol=absolute, equal_nan=True):
        return f"off by up to {(value - expected).abs().max().item():.3g}"
    return None
