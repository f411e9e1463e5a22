"""A tracking store in memory that keeps rows as MLflow's databases do, and that fails when told to."""

from __future__ import annotations

from typing import Any

from raycon.tracking.records import Change


class Unreachable(Exception):
    """The store cannot be reached just now."""


class MemoryStore:
    """Rows are unique by (run, metric, time, step, value); `fails_at` holds the numbers of the write steps that fail.

    A failing write has stored what came before that step, as a request that is cut off in its middle does.
    """

    def __init__(self) -> None:
        self.experiment = "1"
        self.runs: dict[str, str] = {}
        self.made: dict[str, str] = {}
        self.rows: set[tuple[Any, ...]] = set()
        self.rows_sent = 0
        self.params: dict[tuple[str, str], str] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.status: dict[str, str] = {}
        self.files: dict[tuple[str, str], str | bytes] = {}
        self.fails_at: set[int] = set()
        self.down = False
        self.steps = 0

    def _step(self) -> None:
        self.steps += 1
        if self.down or self.steps in self.fails_at:
            raise Unreachable(f"step {self.steps}")

    def open(self) -> None:
        """As of a server that may be down."""
        self._step()

    def find(self, log_id: str) -> None:
        """Runs are known by key alone."""
        self._step()
        self.runs = dict(self.made)

    def write(self, change: Change) -> None:
        """Each kind of thing is a step of its own."""
        self._step()
        run = self.made.setdefault(change.key, f"run-{len(self.made)}")
        self._step()
        self.runs[change.key] = run
        for name, value in change.params.items():
            assert self.params.setdefault((run, name), value) == value, f"parameter {name} changed"
        for point in change.points:
            self.rows.add((run, point.name, point.time_ms, point.step, point.value))
            self.rows_sent += 1
        self._step()
        self.tags |= {(run, name): value for name, value in change.tags.items()}
        self.files |= {(run, name): content for name, content in change.files.items()}
        self._step()
        if change.status:
            self.status[run] = change.status

    def seen(self) -> tuple[Any, ...]:
        """Everything that a user can see."""
        return self.made, self.rows, self.params, self.tags, self.status, self.files
