"""The event log: one append-only file of JSON lines that is the whole truth about a sweep. Only the driver writes it.

A line is `{"seq": 7, "time": 1735689600.25, "kind": "scored", "synced": 6, ...payload, "crc": "9a3f01c2"}`:

- `seq` counts from 0 without a gap; `time` is in seconds since 1970 and never goes back, whatever the clock does;
- `synced` is the number of leading events that were durable when the line was written. It tells a torn tail (bytes
  that a crash lost before they were synced; they are cut off) from damage (a durable line that has become unreadable;
  the log is refused);
- `crc` is the CRC-32 of the line without its `crc` field.

Numbers that JSON lacks are stored as the strings "nan", "inf" and "-inf" (see `plain_metrics`).

Kinds and payloads:

- `opened`    attempt, identity, name, objectives {maximize, minimize}, trials, versions, host, pid, created, session,
  hardware (the host's, in words; older logs lack it)
- `process`   pid, created, role, host: a process that the driver started, to be ended by a later attempt
- `asked`     number, key, values, trial, seeds: run `number` exists from here on; durable before anyone works on it
- `started`   key, attempt, try: a worker took the run up (tries count from 1 over the whole life of the run)
- `scored`    key, epoch, metrics, checkpoint (a path or null), done
- `finished`  key, state, epoch, metrics, reason; state is one of `STATES`
- `lost`      key, reason: the infrastructure took the run away; it goes on from its newest checkpoint. With `storage`
  its checkpoint could not be written or fetched, which uses up no retry
- `closed`    the driver ended in good order
- `reused`    key, origin {sweep, identity, key}: the run is not trained but taken over from another log's finished run
  of the same configuration and seed; its `scored` and `finished` follow
- `test_opened`  runs (keys): the test set is opened for these runs of a repetition; counted
- `test_scored`  key, metrics: the test scores of a complete run, from its final weights
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raycon.disk import Disk, write_durably
from raycon.errors import RayconError, Refused
from raycon.mirror import FolderMirror, Follower, Judged, Mirror

KINDS = (
    *("opened", "process", "asked", "started", "scored", "finished", "lost", "closed", "reused"),
    *("test_opened", "test_scored"),
)
STATES = ("complete", "pruned", "diverged", "out_of_memory", "failed")

_BESIDE = "sweep.json"
"""What is fetched with the log: it says what is searched."""

Clock = Callable[[], float]
"""Seconds since 1970, such as `time.time`."""

_CRC_LENGTH = len(',"crc":"01234567"}')
_OWN_FIELDS = ("seq", "time", "kind", "synced", "crc")


class DamagedLog(RayconError):
    """A durable event can no longer be read, or events are missing: nothing that follows could be trusted."""


@dataclass(frozen=True)
class Event:
    """One line of the log."""

    seq: int
    time: float
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.payload[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the payload, or `default` where it is absent."""
        return self.payload.get(name, default)


def plain_metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as JSON can hold them: finite numbers as they are, the others as 'nan', 'inf', '-inf'."""
    return {name: float(value) if math.isfinite(value) else str(float(value)) for name, value in metrics.items()}


def read_metrics(stored: Mapping[str, float | str]) -> dict[str, float]:
    """The reverse of `plain_metrics`."""
    return {name: float(value) for name, value in stored.items()}


def encode(event: Event, synced: int) -> bytes:
    """The line of an event, newline included. Raises ValueError for a NaN or an infinity in its payload."""
    if taken := [name for name in _OWN_FIELDS if name in event.payload]:
        raise ValueError(f"an event's payload may not name {', '.join(taken)}")
    record = {"seq": event.seq, "time": event.time, "kind": event.kind, "synced": synced, **event.payload}
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    return body[:-1] + f',"crc":"{zlib.crc32(body):08x}"}}\n'.encode()


def decode(line: bytes) -> tuple[Event, int] | None:
    """An event and its `synced` from a line without its newline; None where the line is not whole or its CRC is
    wrong."""
    tail = line[-_CRC_LENGTH:]
    if len(line) <= _CRC_LENGTH or not (tail.startswith(b',"crc":"') and tail.endswith(b'"}')):
        return None
    body = line[:-_CRC_LENGTH] + b"}"
    if f"{zlib.crc32(body):08x}".encode() != tail[8:16]:
        return None
    try:
        record = json.loads(body)
        payload = {name: value for name, value in record.items() if name not in _OWN_FIELDS}
        return Event(int(record["seq"]), float(record["time"]), str(record["kind"]), payload), int(record["synced"])
    except (ValueError, KeyError, TypeError):
        return None


def parse(data: bytes, name: str = "events.jsonl") -> tuple[list[Event], int]:
    """The readable events of a log, and the length in bytes that they take up; what follows is a torn tail.

    Raises `DamagedLog` where a line that had been durable is unreadable, or where events are missing.
    """
    events: list[Event] = []
    good = position = 0
    torn = False
    while (end := data.find(b"\n", position)) >= 0:
        decoded = decode(data[position:end])
        if decoded is None:
            torn = True
        elif torn:
            # A whole line after a broken one: both belong to a batch that was never synced, or the log is damaged.
            if decoded[1] > len(events):
                raise DamagedLog(f"{name}: event {len(events)} is damaged, although it had been written to disk")
        elif decoded[0].seq != len(events):
            raise DamagedLog(f"{name}: expected event {len(events)}, found event {decoded[0].seq}")
        else:
            events.append(decoded[0])
            good = end + 1
        position = end + 1
    return events, good


class EventLog:
    """The log of one sweep: `path` on the driver's disk, copied to `mirror` on storage that outlives the machine.

    `append` hands bytes to the disk, `sync` makes them durable: whoever acts on an event syncs first. The mirror
    follows at each `sync`; a storage so slow that this would take more than a twentieth of the time is written less
    often, `sync(mirror=True)` writes it in any case. A storage that cannot be written does not stop the sweep: the
    error stands in `mirror_error`, and a warning is logged. What the copy lacks is tried again by the next `sync`, or
    `catch_up`, a minute later at most.

    A mirror that has what this log lacks was written by another driver (see `raycon.mirror`). One that goes on where
    this log ends is taken over by `open`, and the newest attempt wins: an older driver gets Refused.
    """

    def __init__(self, disk: Disk, path: Path, mirror: Mirror | Path | None = None, *, clock: Clock = time.time):
        self.disk, self.path, self.clock = disk, path, clock
        self._follower: Follower | None = None
        if mirror is not None and mirror != path:
            name = mirror.name if isinstance(mirror, Path) else path.name
            place = FolderMirror(disk, mirror.parent) if isinstance(mirror, Path) else mirror
            self._follower = Follower(place, name, path, _judge, clock)
        self._unsynced: list[bytes] = []
        self._events: list[Event] = []
        self._synced = 0
        self._broken: RayconError | None = None
        self._time = -math.inf
        self._opened = False

    @property
    def mirror_error(self) -> OSError | None:
        """Why the mirror could not be written last; None where it could."""
        return None if self._follower is None else self._follower.error

    def open(self) -> list[Event]:
        """Read the log, cut a torn tail off, and be ready to append. Where the folder holds no event at all, or the
        mirror goes on where it ends, the log and the other files of the mirror are fetched first."""
        self.disk.makedirs(self.path.parent)
        data = self.disk.read(self.path) if self.disk.exists(self.path) else b""
        self._events, good = parse(data, str(self.path))
        if self._follower is not None:
            copy = self._follower.ahead_of(data[:good])
            if copy is not None:
                data = self._fetch(self._follower.mirror, copy)
                self._events, good = parse(data, str(self.path))
        if good < len(data):
            self.disk.truncate(self.path, good)
        if self._events:
            # What was read may still be in the page cache only, if the crash was of the process and not of the machine.
            self.disk.fsync(self.path)
            self._time = self._events[-1].time
        self._synced = len(self._events)
        if self._follower is not None:
            self._follower.settle(data[:good])
            beside = self.path.with_name(_BESIDE)
            if self.disk.exists(beside):
                self._follower.settle_beside(_BESIDE, self.disk.read(beside))
        self._opened = True
        return list(self._events)

    def claim(self, *, insist: bool = False, **payload: Any) -> Event | None:
        """Add the `opened` event of a new attempt to the log as it was opened: first in the mirror, so that an older
        driver stops at its next write, then here, durably.

        None, with nothing written, if the mirror has changed since `open`, which is to be called again then; with
        `insist` what an older attempt wrote there meanwhile is written over.
        """
        self._check_writable()
        event, line = self._next_line("opened", payload)
        if self._follower is not None:
            whole = (self.disk.read(self.path) if self._events else b"") + line
            try:
                if not self._follower.claim(whole, insist=insist):
                    return None
            except Refused as error:
                self._broken = error
                raise
        self._write(event, line)
        self._make_durable()
        self._unsynced.clear()
        return event

    def read(self) -> list[Event]:
        """All events so far, those that are not yet synced included."""
        return list(self._events)

    def append(self, kind: str, **payload: Any) -> Event:
        """Add an event, not yet durable. Raises RayconError when the disk cannot take it; the log is then closed for
        writing, because what the file ends with is unknown until it is opened again."""
        self._check_writable()
        event, line = self._next_line(kind, payload)
        self._write(event, line)
        return event

    def sync(self, *, mirror: bool = False) -> None:
        """Make all events durable; with `mirror` also copy them to the mirror now, where there is one."""
        self._check_writable()
        if self._synced < len(self._events):
            self._make_durable()
            if self._follower is not None:
                self._follower.add(b"".join(self._unsynced))
            self._unsynced.clear()
        if self._follower is None:
            return
        try:
            self._follower.follow(lambda: self.disk.read(self.path), now=mirror)
        except Refused as error:
            self._broken = error
            raise

    def catch_up(self) -> None:
        """Bring the mirror up to date, if it lacks anything and may be written now. To be called again and again while
        nothing happens: it costs nothing where there is nothing to do. Raises as `sync`."""
        if self._follower is not None and self._follower.behind:
            self.sync()

    def write_beside(self, name: str, data: bytes) -> None:
        """Write a small file atomically and durably into the log's folder, and into the mirror's as soon as that can be
        done."""
        write_durably(self.disk, self.path.with_name(name), data)
        if self._follower is not None:
            self._follower.add_beside(name, data)

    def _fetch(self, mirror: Mirror, log: bytes) -> bytes:
        beside = mirror.read(_BESIDE)
        if beside is not None:
            write_durably(self.disk, self.path.with_name(_BESIDE), beside)
        write_durably(self.disk, self.path, log)
        return log

    def _next_line(self, kind: str, payload: dict[str, Any]) -> tuple[Event, bytes]:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of event {kind!r}")
        self._time = max(self._time, round(self.clock(), 6))
        event = Event(len(self._events), self._time, kind, payload)
        return event, encode(event, self._synced)

    def _write(self, event: Event, line: bytes) -> None:
        try:
            self.disk.append(self.path, line)
        except OSError as error:
            raise self._break(error) from error
        self._events.append(event)
        self._unsynced.append(line)

    def _make_durable(self) -> None:
        try:
            self.disk.fsync(self.path)
        except OSError as error:
            raise self._break(error) from error
        self._synced = len(self._events)

    def _check_writable(self) -> None:
        if not self._opened:
            raise RuntimeError("the event log is not open")
        if self._broken is not None:
            raise self._broken

    def _break(self, error: OSError) -> RayconError:
        told = f"cannot write {self.path}: {error.strerror or error}; what was recorded before is kept"
        self._broken = RayconError(told)
        return self._broken


def _judge(data: bytes) -> Judged | None:
    """What can be read of a log, for `raycon.mirror`."""
    try:
        events, good = parse(data)
    except DamagedLog:
        return None
    attempts = (event.get("attempt") for event in events if event.kind == "opened")
    return Judged(data[:good], max((attempt for attempt in attempts if isinstance(attempt, int)), default=0))
