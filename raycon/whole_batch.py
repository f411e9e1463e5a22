"""The mark of functions that compare or count images of a batch, though no tensor that they ask for says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def whole_batch(function: _Function) -> _Function:
    """Marks a term or transform that must see the batch of all workers: mixing images, ranking them, class averages.

    Its tensors are gathered over workers, with gradient, as those of terms on `pairwise` tensors are without a mark. A
    transform's results are cut back to the worker's own images. What is a mean over images needs no mark.
    """
    function.whole_batch = True  # type: ignore[attr-defined]  # a mark on a function, read below
    return function


def is_whole_batch(function: Callable[..., Any]) -> bool:
    """Whether `function` carries the mark."""
    return bool(getattr(function, "whole_batch", False))
