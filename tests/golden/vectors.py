"""Reading a folder of vectors: `<family>_<number>.npz`, arrays only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class NoVectors(Exception):
    """A folder, or a family asked for, without vectors: a mistake of the caller, never a pass."""


@dataclass
class Vector:
    """One stored case. `free` holds the tensors that an adapter asked for with gradient, by the name under which that
    gradient is stored."""

    path: Path
    arrays: dict[str, np.ndarray[Any, Any]]
    free: dict[str, Tensor] = field(default_factory=dict)

    def single(self) -> Vector:
        """The same case with every float64 array but the numbers in float32."""
        return Vector(
            self.path,
            {n: a.astype(np.float32) if a.dtype == np.float64 and a.ndim else a for n, a in self.arrays.items()},
        )

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def leaf(self, name: str, gradient: str | None = None) -> Tensor:
        """The tensor, as a variable to differentiate by. Its gradient is stored as `gradient`; by default as `grad` for
        the first leaf, and as `grad_<name>` for the others."""
        stored = gradient or (f"grad_{name}" if self.free else "grad")
        self.free[stored] = self.tensor(name).clone().requires_grad_()
        return self.free[stored]

    def number(self, name: str) -> float:
        return float(self.arrays[name])

    def flag(self, name: str) -> bool:
        return bool(self.arrays[name])

    def choose(self, name: str, *options: str) -> str:
        """The option that the stored number stands for."""
        return options[int(self.arrays[name])]


def read_vectors(folder: Path) -> dict[str, list[Vector]]:
    """Family -> its vectors in the order of their numbers. Raises NoVectors for a folder without any."""
    families: dict[str, list[Vector]] = {}
    paths = folder.glob("*.npz")
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        with np.load(path, allow_pickle=False) as arrays:
            vector = Vector(path, {name: arrays[name] for name in arrays.files})
        families.setdefault(re.sub(r"_\d+$", "", path.stem), []).append(vector)
    if not families:
        raise NoVectors(f"no vectors (*.npz) in {folder}")
    return dict(sorted(families.items()))
