"""What all statistics ask of their inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.floating]
Table = Sequence[Sequence[float]] | NDArray[np.floating]


def paired_differences(values: Numbers) -> NDArray[np.float64]:
    """The numbers as a row of float64. Raises ValueError for fewer than 2, another shape, NaN or infinity."""
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or row.size < 2:
        raise ValueError(f"at least 2 paired differences in one row are needed, got shape {row.shape}")
    if not np.all(np.isfinite(row)):
        raise ValueError("differences must be finite")
    return row


def finite_table(values: Table, what: str) -> NDArray[np.float64]:
    """The numbers as a float64 table. Raises ValueError unless it has two axes, is not empty, and all are finite."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{what} must be a table of two axes and not empty, got shape {table.shape}")
    if not np.all(np.isfinite(table)):
        raise ValueError(f"{what} must be finite")
    return table


def check_rate(value: float) -> None:
    """Raises ValueError unless a confidence or an error rate lies between 0 and 1, both left out."""
    if not 0 < value < 1:
        raise ValueError(f"a confidence or error rate lies between 0 and 1, got {value}")


def p_values(values: Numbers) -> NDArray[np.float64]:
    """p values as a row. Raises ValueError for an empty row, or numbers outside 0 to 1."""
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or row.size == 0:
        raise ValueError(f"p values must stand in one row and not be none, got shape {row.shape}")
    if not np.all((row >= 0) & (row <= 1)):
        raise ValueError("p values lie between 0 and 1")
    return row
