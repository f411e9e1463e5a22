"""Mean squared error by a walk through the nested lists."""

from __future__ import annotations

from typing import Any


def reconstruction(reconstruction: Any, views: Any) -> float:
    errors = [(a - b) ** 2 for a, b in zip(_numbers(reconstruction), _numbers(views), strict=True)]
    return float(sum(errors)) / len(errors)


def _numbers(nested: Any) -> list[float]:
    return [number for part in nested for number in _numbers(part)] if isinstance(nested, list) else [nested]
