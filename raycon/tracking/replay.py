"""Carries an event log to a tracking store in batches, so that it can be stopped anywhere and begun again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raycon.disk import RealDisk
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep_file
from raycon.tracking.records import Batch, Change
from raycon.tracking.tail import Cursor, Line, LogChanged, LogTail, log_digest
from raycon.tracking.view import View

logger = logging.getLogger("raycon.tracking")


@dataclass(frozen=True)
class Figures:
    """Who draws an ended run and an ended sweep, as PNG bytes. They are called in the tracker's thread."""

    run: Callable[[RunRecord], bytes]
    sweep: Callable[[SweepHistory], bytes]


class Store(Protocol):
    """Where changes are written. Each call may raise anything; the caller decides whether to try again."""

    experiment: str
    runs: dict[str, str]

    def open(self) -> None:
        """Reach the store and find or make the experiment."""

    def find(self, log_id: str) -> None:
        """Fill `runs` with the ids of the runs of this log that exist, by key; the sweep's own key is empty."""

    def write(self, change: Change) -> None:
        """Write one change; writing it again must change nothing."""


class Replay:
    """Carries the log to a store, batch by batch, remembering how far it came. It has no thread and no clock."""

    def __init__(
        self, folder: Path, store: Store, destination: str, figures: Figures | None, *, use_cursor: bool = True
    ):
        self.folder, self.store, self.destination, self.figures = folder, store, destination, figures
        self.use_cursor, self.found = use_cursor, False
        self._rewind(None)

    def _rewind(self, cursor: Cursor | None) -> None:
        canonical = (read_sweep_file(self.folder, RealDisk()) or {}).get("canonical", {})
        self.tail, self.view, self.batch = LogTail(self.folder / LOG_NAME), View(canonical), Batch()
        self.cursor, self.delivered, self.last = cursor, 0, Line(0, "", None)

    def find(self) -> bool:
        """Look up this log's runs in the store; False while the log has no line yet."""
        log = log_digest(self.folder / LOG_NAME)
        if log is None:
            return False
        self.store.find(log)
        if not self.found:
            cursor = Cursor.load(self.folder) if self.use_cursor else None
            fits = cursor is not None and (cursor.destination, cursor.log, cursor.experiment, cursor.parent) == (
                self.destination,
                log,
                self.store.experiment,
                self.store.runs.get(""),
            )
            self._rewind(cursor if fits else None)
            self.found = True
        return True

    def pull(self) -> bool:
        """Fold the next lines into the batch; False where there are none."""
        try:
            lines = self.tail.read(1 << 16)
        except LogChanged:
            logger.warning("%s became shorter; it is delivered again from its start", self.tail.path)
            self._rewind(None)
            self.found = False
            return True
        for line in lines:
            skipped = self.cursor is not None and line.number <= self.cursor.line
            if line.event is not None:
                self.view.fold(line.event, Batch() if skipped else self.batch)
            self.last = line
            if self.cursor is not None and line.number == self.cursor.line:
                if line.digest != self.cursor.digest:
                    self._rewind(None)
                    return True
                self.delivered = line.number
        if not lines and self.cursor is not None and self.last.number < self.cursor.line:
            self._rewind(None)  # the log lost lines that had been delivered
            return True
        return bool(lines)

    def push(self) -> None:
        """Write the batch and move the cursor. After an exception the same call can be made again."""
        if self.last.number <= max(self.delivered, self.cursor.line if self.cursor else 0) and not self.batch.changes:
            return
        for change in self.batch.ordered():
            self._draw(change)
            self.store.write(change)
        self.batch, self.delivered = Batch(), self.last.number
        self._save()

    def _save(self) -> None:
        cursor = Cursor(
            self.destination,
            self.tail.first_digest,
            self.delivered,
            self.last.digest,
            self.store.experiment,
            self.store.runs.get("", ""),
        )
        try:
            cursor.save(self.folder)
        except OSError as error:
            logger.warning("the tracking cursor cannot be written (%s); a later start delivers again", error)

    def _draw(self, change: Change) -> None:
        record, change.picture = change.picture, None
        if record is None or self.figures is None:
            return
        try:
            drawn = self.figures.run(record) if isinstance(record, RunRecord) else self.figures.sweep(record)
            change.files["figure.png"] = drawn
        except Exception as error:
            logger.warning("no figure of %s: %s", change.title, error)

    def waiting(self) -> int:
        """How many complete lines of the log are not delivered."""
        log, delivered = LogTail(self.folder / LOG_NAME), self.delivered
        while log.read():
            pass
        cursor = Cursor.load(self.folder) if not self.found and self.use_cursor else None
        if cursor is not None and (cursor.destination, cursor.log) == (self.destination, log.first_digest):
            delivered = cursor.line
        return max(0, log.lines - delivered)
