"""What a sweep looks like while it runs: a live table on a terminal, plain lines elsewhere, JSON lines for programs.

`SweepProgress` is told of events and draws; it decides nothing. Everything goes to standard error except JSON lines,
so that standard output stays clean for results.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 10.0
LISTED_ENDED = 5
STYLES = {"complete": "green", "pruned": "yellow", "running": "cyan", "waiting": "dim"}


@dataclass
class _Row:
    """One run as it is shown. `began` is the time of its first sign of life in this process, at epoch `from_epoch`."""

    key: str
    number: int
    began: float
    state: str = "running"
    epoch: int = 0
    from_epoch: float = 0.0
    fraction: float = 0.0
    value: float | None = None
    resumed: bool = False
    seconds: list[float] = field(default_factory=list)


class SweepProgress:
    """Shows a sweep of `total` runs of at most `epochs` epochs, `slots` at a time.

    `objectives` names the scores by which the sweep searches and whether each is maximised; the first is shown.
    `stream` is where lines go (JSON: standard output; else standard error). On a terminal a table is redrawn in place;
    elsewhere there is a line at most every 10 s, and one for each ended run. `quiet` shows nothing but JSON lines.
    An event `opened` tells of the runs that had ended before this session. Use it as a context manager.
    """

    def __init__(
        self,
        total: int,
        epochs: int,
        objectives: Sequence[tuple[str, bool]] = (),
        slots: int = 1,
        *,
        console: Console | None = None,
        stream: TextIO | None = None,
        json: bool = False,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.epochs, self.slots = total, max(1, epochs), max(1, slots)
        self.objectives, self.json, self.quiet, self.clock = list(objectives), json, quiet, clock
        self.stream = stream or (sys.stdout if json else sys.stderr)
        self.console = console or Console(file=self.stream)
        self.live: Live | None = None
        self.rows: dict[str, _Row] = {}
        self.ended: list[_Row] = []
        self.counts: dict[str, int] = {}
        self.best: tuple[float, int] | None = None
        self.began, self.ended_before = self.clock(), 0
        self._run_seconds: list[float] = []
        self._epoch_seconds: list[float] = []
        self._last_line = -math.inf

    def __enter__(self) -> SweepProgress:
        if not self.json and not self.quiet and self.console.is_terminal:
            self.live = Live(get_renderable=self.render, console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
        if not self.json and not self.quiet and (last := self._last_words()):
            self._say(last)

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Take in an event {kind, key, number, epoch, step, steps, metrics, state, resumed}.

        Kinds: opened (with `total` and `ended`: {number, state, metrics} of each run that had ended before; not shown
        as JSON), started, progress, scored, ended, lost (with a reason; it starts again later). What a kind does not
        need may be absent; unknown kinds and events of ended runs change nothing.
        """
        kind, key = event.get("kind"), str(event.get("key", ""))
        if kind == "opened":
            self._opened(event)
            return
        if self.json:
            print(json.dumps(_plain(event)), file=self.stream, flush=True)
        if kind == "started":
            self._started(key, event)
            return
        row = self.rows.get(key)
        if row is None:
            return
        if kind == "progress":
            row.fraction = min(1.0, float(event.get("step") or 0) / max(1, int(event.get("steps") or 1)))
        elif kind == "scored":
            self._scored(row, event)
        elif kind == "ended":
            self._ended(row, event)
            return
        elif kind == "lost":
            self._lost(row, event)
            return
        self._maybe_say(row)

    def _opened(self, event: Mapping[str, Any]) -> None:
        self.total = int(event["total"])
        for run in event["ended"]:
            row = _Row("", int(run["number"]), self.clock(), state=str(run["state"]))
            self._take_value(row, run)
            self._count(row)
            self.ended_before += 1

    def _started(self, key: str, event: Mapping[str, Any]) -> None:
        epoch = int(event.get("epoch") or 0)
        row = _Row(key, int(event.get("number") or 0), self.clock(), epoch=epoch, from_epoch=float(epoch))
        row.resumed = bool(event.get("resumed"))
        row.seconds = [row.began]
        self.rows[key] = row
        if row.resumed:
            self._announce(f"run {row.number:>4}  goes on after epoch {epoch} of {self.epochs}")
        else:
            self._maybe_say(row)

    def _lost(self, row: _Row, event: Mapping[str, Any]) -> None:
        del self.rows[row.key]
        self._announce(
            f"run {row.number:>4}  lost in epoch {row.epoch + 1}, to be tried again: {event.get('reason', '')}"
        )

    def _scored(self, row: _Row, event: Mapping[str, Any]) -> None:
        now = self.clock()
        epoch = int(event.get("epoch") or row.epoch + 1)
        if len(row.seconds) == 1 and epoch > row.epoch + 1:
            row.epoch, row.resumed = epoch - 1, True  # it went on from a checkpoint of which nobody told
            row.from_epoch = float(row.epoch)
        if epoch > row.epoch:
            self._epoch_seconds.append((now - row.seconds[-1]) / (epoch - row.epoch))
            del self._epoch_seconds[:-50]
            row.seconds.append(now)
        row.epoch, row.fraction = max(row.epoch, epoch), 0.0
        self._take_value(row, event)

    def _take_value(self, row: _Row, event: Mapping[str, Any]) -> None:
        value = (event.get("metrics") or {}).get(self.objectives[0][0]) if self.objectives else None
        if value is not None and math.isfinite(float(value)):
            row.value = float(value)

    def _ended(self, row: _Row, event: Mapping[str, Any]) -> None:
        self._take_value(row, event)
        row.state = str(event.get("state", "complete"))
        row.epoch = int(event.get("epoch") or row.epoch)
        del self.rows[row.key]
        self._count(row)
        self.ended.append(row)
        seconds = self.clock() - row.began
        if row.state == "complete" and not row.resumed:
            self._run_seconds.append(seconds)
        value = f"  {self._name()} {row.value:.4f}" if row.value is not None else ""
        best = f"  best {self.best[0]:.4f} (run {self.best[1]})" if self.best else ""
        self._announce(
            f"run {row.number:>4}  {row.state} after epoch {row.epoch}, {duration(seconds)}{value}{best}  "
            f"[{self._done}/{self.total}{self._rest()}]"
        )

    def _count(self, row: _Row) -> None:
        self.counts[row.state] = self.counts.get(row.state, 0) + 1
        if row.state == "complete" and row.value is not None and self._better(row.value):
            self.best = row.value, row.number

    def _better(self, value: float) -> bool:
        maximize = self.objectives[0][1]
        return self.best is None or (value > self.best[0] if maximize else value < self.best[0])

    @property
    def _done(self) -> int:
        return self.ended_before + len(self.ended)

    def _name(self) -> str:
        return self.objectives[0][0] if self.objectives else "score"

    def run_left(self, row: _Row) -> float | None:
        """Seconds that a running run is expected to need still, if it is not stopped early; None when unknown."""
        done = row.epoch + row.fraction
        pace = (self.clock() - row.began) / (done - row.from_epoch) if done > row.from_epoch else self._pace()
        return None if pace is None else max(0.0, pace * (self.epochs - done))

    def _pace(self) -> float | None:
        return statistics.median(self._epoch_seconds) if self._epoch_seconds else None

    def left(self) -> float | None:
        """Seconds that the sweep is expected to need still; None before anything is known.

        What runs is expected at its own pace; runs that have not begun cost what ended ones did on average, stopped
        ones included, and `slots` of them go side by side.
        """
        running = [self.run_left(row) for row in self.rows.values()]
        known = [seconds for seconds in running if seconds is not None]
        to_come = max(0, self.total - self._done - len(self.rows))
        cost = self._average_run_seconds()
        if (to_come and cost is None) or len(known) < len(running):
            return None
        work = sum(known) + to_come * (cost or 0.0)
        return max([work / self.slots, *known])

    def _average_run_seconds(self) -> float | None:
        pace = self._pace()
        if pace is None:
            return statistics.mean(self._run_seconds) if self._run_seconds else None
        epochs = [row.epoch for row in self.ended if not row.resumed] or [self.epochs]
        steady = pace * statistics.mean(epochs)
        return max(steady, statistics.mean(self._run_seconds)) if self._run_seconds and not _stops(epochs) else steady

    def _rest(self) -> str:
        left = self.left()
        told = f", about {duration(left)} left" if left is not None else ", time left unknown"
        return told if self._done < self.total else ""

    def _headline(self) -> str:
        counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(self.counts.items()))
        best = f"; best {self._name()} {self.best[0]:.4f} (run {self.best[1]})" if self.best else ""
        return (
            f"{self._done} of {self.total} runs ended{f' ({counts})' if counts else ''}{best}; "
            f"{duration(self.clock() - self.began)} so far{self._rest()}"
        )

    def _last_words(self) -> str:
        """Empty where nothing happened although something was left to do: whoever stopped it says why."""
        if self.ended or self.rows:
            return self._headline()
        had = f"all {self.total} runs" if self.ended_before == self.total else f"{self.ended_before} runs"
        return f"nothing left to do: {had} had ended before" if self.ended_before >= self.total else ""

    def render(self) -> RenderableType:
        """The table as it would be drawn now: what runs, the last few ended runs, and a line for the whole."""
        table = Table(expand=False)
        for name in ("run", "state", "epoch", self._name(), "best so far", "left"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=name != self._name())
        for row in [*self.ended[-LISTED_ENDED:], *sorted(self.rows.values(), key=lambda row: row.number)]:
            running = row.state == "running"
            left = self.run_left(row) if running else None
            table.add_row(
                str(row.number),
                Text(row.state.replace("_", " "), style=STYLES.get(row.state, "red")),
                f"{row.epoch + row.fraction:.1f}/{self.epochs}" if running else f"{row.epoch}/{self.epochs}",
                f"{row.value:.4f}" if row.value is not None else "",
                "*" if self.best and self.best[1] == row.number and not running else "",
                duration(left) if left is not None else "",
            )
        return Group(table, Text(self._headline(), overflow="fold"))

    def _maybe_say(self, row: _Row) -> None:
        if self.clock() - self._last_line >= PLAIN_SECONDS and self.live is None:
            value = f"  {self._name()} {row.value:.4f}" if row.value is not None else ""
            self._announce(
                f"run {row.number:>4}  epoch {row.epoch + row.fraction:.1f} of {self.epochs}{value}  "
                f"[{self._done}/{self.total}{self._rest()}]"
            )

    def _announce(self, line: str) -> None:
        """A plain line; the table shows the same already."""
        if self.live is None and not self.json and not self.quiet:
            self._say(line)

    def _say(self, line: str) -> None:
        self._last_line = self.clock()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _stops(epochs: Sequence[int]) -> bool:
    return min(epochs) < max(epochs)


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as strict JSON can hold it: numbers that are not finite become null."""
    return {
        name: _plain(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in event.items()
    }


def duration(seconds: float) -> str:
    """8 s, 2 min 05 s, 3 h 20 min, 2 d 4 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
