"""The catalogue of transforms: pure functions from tensors of a batch to more tensors, before the encoder.

A transform asks for tensors by its positional parameters, has its knobs keyword-only, and returns {name: tensor} with
names of the vocabulary that the data do not offer. `PROVIDES` says which, since that must be known without running it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

TRANSFORMS: dict[str, Callable[..., dict[str, Tensor]]] = {}
PROVIDES: dict[str, tuple[str, ...]] = {}
