"""How the tracker reads the event log of a sweep: a tail that only sees whole lines, and a cursor that may be lost."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from raycon.events import Event, decode

CURSOR_NAME = "tracking.json"
CHUNK_BYTES = 1 << 20


class LogChanged(Exception):
    """The log is not the one that was read before (it is shorter, or another file): read it again from its start."""


@dataclass(frozen=True)
class Line:
    """One complete line: its 1-based number, a digest of its text, and the event, or None where it is unreadable or
    follows an unreadable one: such a tail is cut off when the driver opens the log again."""

    number: int
    digest: str
    event: Event | None


class LogTail:
    """Follows a growing file of JSON lines. A last line without its newline is still being written: it waits."""

    def __init__(self, path: Path):
        self.path, self.offset, self.lines, self.events = path, 0, 0, 0
        self.first_digest = ""

    def read(self, chunk: int = CHUNK_BYTES) -> list[Line]:
        """The next complete lines, at most about `chunk` bytes of them; empty where there is nothing new.

        Raises `LogChanged` when the file has become shorter than what was read.
        """
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.offset:
                    raise LogChanged(str(self.path))
                file.seek(self.offset)
                data = file.read(chunk)
                if b"\n" not in data and self.offset + len(data) < size:
                    data += file.readline()
        except FileNotFoundError:
            if self.offset:
                raise LogChanged(str(self.path)) from None
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [self._line(raw) for raw in whole.split(b"\n")[:-1]]

    def _line(self, raw: bytes) -> Line:
        self.lines += 1
        digest = hashlib.sha256(raw).hexdigest()[:16]
        if self.lines == 1:
            self.first_digest = digest
        decoded = decode(raw)
        if decoded is None or decoded[0].seq != self.events:
            return Line(self.lines, digest, None)
        self.events += 1
        return Line(self.lines, digest, decoded[0])


def log_digest(path: Path) -> str | None:
    """The digest of the log's first line, which names the log for ever; None while there is no whole line."""
    tail = LogTail(path)
    tail.read(1)
    return tail.first_digest or None


@dataclass(frozen=True)
class Cursor:
    """How far the log is delivered, and where to. It saves work; without it everything is sent again, to no effect.

    `line` and `digest` name the last delivered line: another digest there means that the log was cut and went on.
    """

    destination: str
    log: str
    line: int
    digest: str
    experiment: str
    parent: str

    @classmethod
    def load(cls, folder: Path) -> Cursor | None:
        """The stored cursor, or None where there is none that can be used."""
        try:
            return cls(**json.loads((folder / CURSOR_NAME).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, folder: Path) -> None:
        """Written by rename, so that a reader sees the old or the new one. Not synced: losing it costs time only."""
        temporary = folder / f".{CURSOR_NAME}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(self), indent=1))
        temporary.replace(folder / CURSOR_NAME)


def destination_name(uri: str, experiment: str) -> str:
    """A name for a tracking store that holds no secret of its address."""
    return hashlib.sha256(f"{uri} {experiment}".encode()).hexdigest()[:16]
