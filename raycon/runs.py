"""What passes between a training loop and whoever drives it: its place among the workers, and what it yields.

Nothing here imports torch, so that the driver and the worker glue can be tested with loops that train nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class World:
    """One worker's place: its rank, the number of workers, and its device ('cpu', 'cuda:0')."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Progress:
    """A sign of life inside an epoch. It is for people and for prompt stopping; no search or stopping rule sees it."""

    epoch: int
    step: int
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """An epoch is over (epochs count from 1). `metrics` holds `train/...` always and `validation/...` when they were
    due; on ranks other than 0 it may be empty. `done` marks the last epoch."""

    epoch: int
    metrics: dict[str, float] = field(default_factory=dict)
    done: bool = False


class Run(Protocol):
    """One run in progress on one worker. All workers of a run advance in lockstep: between two yields none of them has
    a collective operation under way, so a run can be saved, stopped or dropped there."""

    events: Iterator[Progress | Scored]

    def save(self, folder: Path) -> None:
        """Write everything that the run needs to go on to `folder`. Called on every rank; only rank 0 writes."""

    def close(self) -> None:
        """Drop what the run holds. Safe to call twice."""


RunFactory = Callable[[dict[str, Any], World], Run]
"""Opens the run of an assignment: {'key', 'number', 'attempt', 'trial', 'folder', 'resume'}, and 'code', the
texts of a user's own files, where there are any."""
