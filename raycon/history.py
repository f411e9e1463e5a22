"""What a sweep's event log says, as records: the one reading of the log, used by the driver and by every report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raycon.disk import Disk, RealDisk
from raycon.errors import InvalidFile, RayconError
from raycon.events import DamagedLog, Event, parse, read_metrics
from raycon.metric_names import metric

LOG_NAME = "events.jsonl"
SWEEP_NAME = "sweep.json"
UNFINISHED = "unfinished"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What folding an event raises that lacks a field, or holds something of another type there."""


@dataclass
class RunRecord:
    """One run. `state` is `unfinished` or one of `raycon.events.STATES`.

    `epochs` maps an epoch (from 1) to its metrics, NaN and infinities included; `metrics` are those of the epoch
    `final_epoch` that the run was finished with (for a diverged run the last ones that were finite; possibly empty).
    `checkpoints` maps an epoch to the path that the worker reported. `losses` are the reasons of interruptions by the
    infrastructure, of which `storage_losses` were the storage's, `tries` the (attempt, try) pairs that workers took up.
    Times are seconds since 1970. `reused` names the finished run of another log that this one was taken over from:
    {sweep, identity, key}.
    """

    number: int
    key: str
    values: dict[str, Any]
    trial: dict[str, Any]
    seeds: dict[str, int]
    asked_at: float
    state: str = UNFINISHED
    reason: str | None = None
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    checkpoints: dict[int, str] = field(default_factory=dict)
    done: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    final_epoch: int = 0
    test: dict[str, float] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    storage_losses: int = 0
    tries: list[tuple[int, int]] = field(default_factory=list)
    started_at: float | None = None
    ended_at: float | None = None
    reused: dict[str, str] | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has ended, in whatever state."""
        return self.state != UNFINISHED

    @property
    def last_epoch(self) -> int:
        """The newest scored epoch; 0 before the first."""
        return max(self.epochs, default=0)

    @property
    def total_epochs(self) -> int:
        """The full budget of the run."""
        return int(self.trial["training"]["epochs"])

    @property
    def checkpoint(self) -> str | None:
        """The newest checkpoint that the log knows."""
        return self.checkpoints[max(self.checkpoints)] if self.checkpoints else None

    def course(self, name: str) -> dict[int, float]:
        """The values of one metric by epoch, where it was reported; epochs in rising order."""
        return {epoch: found[name] for epoch, found in sorted(self.epochs.items()) if name in found}


@dataclass(frozen=True)
class Process:
    """A process that an attempt started. `created` (seconds since 1970) tells it from a later one of the same pid."""

    pid: int
    created: float
    role: str
    host: str
    attempt: int


@dataclass
class Attempt:
    """One start of the sweep's command. `closed_at` is None where the driver did not end in good order."""

    number: int
    opened_at: float
    host: str
    pid: int
    created: float
    session: str
    versions: dict[str, str]
    trials: int
    closed_at: float | None = None
    hardware: str = ""


@dataclass
class SweepHistory:
    """A fold of the log. `runs` is in number order: run i stands at index i."""

    name: str = ""
    identity: str = ""
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    canonical: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    runs: list[RunRecord] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    openings: int = 0
    _by_key: dict[str, RunRecord] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, events: Iterable[Event]) -> SweepHistory:
        """The history that `events` tell."""
        history = cls()
        for event in events:
            history.add(event)
        return history

    def add(self, event: Event) -> None:
        """Take one more event in. Repeated facts (an epoch scored twice, a run finished twice) are an error here: the
        driver never writes them. Raises DamagedLog for an event that is of an unknown kind or lacks a field."""
        fold = getattr(self, f"_add_{event.kind}", None)
        if fold is None:
            raise DamagedLog(f"event {event.seq} of the log is of the unknown kind {event.kind!r}")
        try:
            fold(event)
        except _MALFORMED as error:
            what = f"{type(error).__name__}: {error}"
            raise DamagedLog(f"event {event.seq} of the log ({event.kind}) is malformed: {what}") from None

    def run(self, key: str) -> RunRecord:
        """The run of that key. Raises RayconError where there is none."""
        if key not in self._by_key:
            raise RayconError(f"sweep {self.name!r} has no run {key!r}")
        return self._by_key[key]

    @property
    def trials(self) -> int:
        """How many runs the newest attempt asked for."""
        return self.attempts[-1].trials if self.attempts else 0

    @property
    def finished(self) -> bool:
        """Whether every run that was wanted has ended."""
        return bool(self.attempts) and len(self.runs) >= self.trials and all(run.finished for run in self.runs)

    def counts(self) -> dict[str, int]:
        """How many runs are in each state that occurs, `unfinished` included."""
        found: dict[str, int] = {}
        for run in self.runs:
            found[run.state] = found.get(run.state, 0) + 1
        return found

    def logarithmic_paths(self) -> frozenset[str]:
        """Dotted paths of the knobs that were searched on a logarithmic scale."""
        return frozenset(_logarithmic_paths(self.canonical.get("trial")))

    def complete(self, *objectives: str) -> list[RunRecord]:
        """The runs that had their full budget and a finite final value of each of `objectives`."""
        return [
            run
            for run in self.runs
            if run.state == "complete" and all(math.isfinite(run.metrics.get(name, math.nan)) for name in objectives)
        ]

    def best(self, objective: str | None = None) -> RunRecord | None:
        """The full-budget run with the best final value of `objective`, by the metric's own direction; the lower number
        among equals; None where no run is complete. Without `objective`, the sweep's single one.

        Raises InvalidFile for a metric that is unknown, has no better direction, or is not of a searchable split, and
        where the sweep has several objectives and none is named.
        """
        name = objective or self._single_objective()
        sign = _sign(name)
        return min(self.complete(name), key=lambda run: (-sign * run.metrics[name], run.number), default=None)

    def pareto_front(self, objectives: Sequence[str] | None = None) -> list[RunRecord]:
        """The full-budget runs that no other full-budget run beats: at least as good in every objective and better in
        one. Equal runs all stay. In number order. Without `objectives`, the sweep's own."""
        names = tuple(objectives or (*self.maximize, *self.minimize))
        signs = [_sign(name) for name in names]
        points = [
            (run, [sign * run.metrics[n] for sign, n in zip(signs, names, strict=True)])
            for run in self.complete(*names)
        ]
        return [run for run, point in points if not any(_dominates(other, point) for _, other in points)]

    def _single_objective(self) -> str:
        names = (*self.maximize, *self.minimize)
        if len(names) != 1:
            raise InvalidFile(
                f"name one of the objectives: {', '.join(names) or 'the sweep has none'}", field="objective"
            )
        return names[0]

    def _add_opened(self, event: Event) -> None:
        self.name, self.identity = event["name"], event["identity"]
        self.maximize = tuple(event["objectives"]["maximize"])
        self.minimize = tuple(event["objectives"]["minimize"])
        self.attempts.append(
            Attempt(
                event["attempt"],
                event.time,
                event["host"],
                event["pid"],
                event["created"],
                event["session"],
                event["versions"],
                event["trials"],
                hardware=str(event.get("hardware", "")),
            )
        )
        self.processes.append(Process(event["pid"], event["created"], "driver", event["host"], event["attempt"]))

    def _add_process(self, event: Event) -> None:
        attempt = self.attempts[-1].number
        self.processes.append(Process(event["pid"], event["created"], event["role"], event["host"], attempt))

    def _add_asked(self, event: Event) -> None:
        if event["number"] != len(self.runs) or event["key"] in self._by_key:
            raise RayconError(f"the log asks run {event['number']} where run {len(self.runs)} was due")
        run = RunRecord(event["number"], event["key"], event["values"], event["trial"], event["seeds"], event.time)
        self.runs.append(run)
        self._by_key[run.key] = run

    def _add_started(self, event: Event) -> None:
        run = self.run(event["key"])
        run.tries.append((event["attempt"], event["try"]))
        if run.started_at is None:
            run.started_at = event.time

    def _add_scored(self, event: Event) -> None:
        run = self.run(event["key"])
        epoch = int(event["epoch"])
        if run.finished or epoch in run.epochs:
            raise RayconError(f"the log scores epoch {epoch} of run {run.key} twice or after its end")
        run.epochs[epoch] = read_metrics(event["metrics"])
        if event["checkpoint"] is not None:
            run.checkpoints[epoch] = event["checkpoint"]
        run.done = run.done or bool(event["done"])

    def _add_finished(self, event: Event) -> None:
        run = self.run(event["key"])
        if run.finished:
            raise RayconError(f"the log finishes run {run.key} twice")
        run.state, run.reason, run.ended_at = event["state"], event["reason"], event.time
        run.metrics, run.final_epoch = read_metrics(event["metrics"]), int(event["epoch"])

    def _add_lost(self, event: Event) -> None:
        run = self.run(event["key"])
        run.losses.append(event["reason"])
        run.storage_losses += bool(event.get("storage", False))

    def _add_reused(self, event: Event) -> None:
        self.run(event["key"]).reused = {name: str(event["origin"][name]) for name in ("sweep", "identity", "key")}

    def _add_test_opened(self, event: Event) -> None:
        self.openings += 1

    def _add_test_scored(self, event: Event) -> None:
        self.run(event["key"]).test = read_metrics(event["metrics"])

    def _add_closed(self, event: Event) -> None:
        self.attempts[-1].closed_at = event.time


def read_sweep(folder: Path, disk: Disk | None = None) -> SweepHistory:
    """The history in a sweep's folder, which is not changed: a driver may be writing there at the same time.

    Raises RayconError where the folder holds no log or an empty one, and DamagedLog where the log cannot be trusted or
    holds bytes but no event.
    """
    disk = disk or RealDisk()
    path = folder / LOG_NAME
    if not disk.exists(path):
        raise RayconError(f"{folder} holds no sweep ({LOG_NAME} is missing)")
    data = disk.read(path)
    events = parse(data, str(path))[0]
    if not events:
        if data:
            raise DamagedLog(f"{path} is damaged: not even its first event can be read")
        raise RayconError(f"{path} holds no events yet")
    history = SweepHistory.of(events)
    history.folder = folder
    history.canonical = (read_sweep_file(folder, disk) or {}).get("canonical", {})
    return history


def read_sweep_file(folder: Path, disk: Disk) -> dict[str, Any] | None:
    """The content of `sweep.json`; None where it is missing or unreadable."""
    path = folder / SWEEP_NAME
    try:
        found = json.loads(disk.read(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _logarithmic_paths(node: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """In a canonical space the options of a named choice share the path of the choice."""
    if not isinstance(node, dict):
        return
    if "log_uniform" in node or "log_integer" in node:
        yield ".".join(path)
    for key, child in node.items():
        if key == "choice" and isinstance(child, dict):
            for option in child.values():
                yield from _logarithmic_paths(option, path)
        else:
            yield from _logarithmic_paths(child, (*path, str(key)))


def _sign(name: str) -> float:
    direction = metric(name).direction
    if direction == "none":
        raise InvalidFile(f"{name} describes a run; neither more nor less of it is better", field="objective")
    if not name.startswith("validation/"):
        raise InvalidFile(f"{name} may not select a run: only validation scores may", field="objective")
    return 1.0 if direction == "higher" else -1.0


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))
