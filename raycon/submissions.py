"""What was submitted to a cluster and how it ended: `submissions.jsonl` in the output folder.

A line is written when a command begins, and one when it has ended.

`ray submit` answers with zero or one whatever the command's exit code was, and not at all when the connection breaks.
What stands here is for people, and decides nothing: a sweep's truth is its event log.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raycon.history import LOG_NAME

FILE_NAME = "submissions.jsonl"

MEANINGS = {
    0: "done",
    1: "internal error",
    2: "usage or invalid file",
    3: "finished with failed runs",
    4: "no room in the cluster",
    5: "refused",
    130: "interrupted, its state saved",
}
"""What the exit codes of raycon say."""


@dataclass(frozen=True)
class Submission:
    """One command. `sweep` is the name of the sweep that it is about, if it is about one. `exit_code` and `ended` are
    None while it runs, and for good if it was killed. Times are seconds since 1970."""

    id: str
    sweep: str | None
    command: tuple[str, ...]
    began: float
    host: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    ended: float | None = None
    exit_code: int | None = None

    @property
    def line(self) -> str:
        """For people: when, what, and how it ended."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.began))
        told = f"submitted {when} UTC: raycon {' '.join(self.command)}"
        if self.exit_code is None or self.ended is None:
            return f"{told}: no end is known; it runs, or it was killed"
        meaning = MEANINGS.get(self.exit_code, "ended by a signal" if self.exit_code < 0 else "unknown")
        return f"{told}: exit code {self.exit_code} ({meaning}) after {self.ended - self.began:.0f} s"


def begin(
    folder: Path, command: Sequence[str], sweep: str | None, host: str, versions: Mapping[str, str]
) -> Submission:
    """Records that a command begins."""
    begun = Submission(uuid.uuid4().hex[:8], sweep, tuple(command), round(time.time(), 3), host, dict(versions))
    row = {"id": begun.id, "sweep": sweep, "command": list(command), "began": begun.began, "host": host}
    _append(folder, row | {"versions": dict(versions)})
    return begun


def end(folder: Path, begun: Submission, exit_code: int) -> None:
    """Records how it ended."""
    _append(folder, {"id": begun.id, "ended": round(time.time(), 3), "exit_code": exit_code})


def read_submissions(folder: Path, sweep: str | None = None) -> list[Submission]:
    """What was submitted, oldest first; with `sweep` that of one sweep alone. Lines that cannot be read are passed
    over: the last one may have been cut by a crash."""
    found: dict[str, dict[str, Any]] = {}
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            row = json.loads(line)
            found.setdefault(row["id"], {}).update(row)
        except (ValueError, KeyError, TypeError):
            continue
    whole = [_submission(row) for row in found.values() if "command" in row and "began" in row]
    return [one for one in whole if sweep is None or one.sweep == sweep]


def without_sweep(folder: Path) -> list[Submission]:
    """Those that left no sweep behind, as a file that was refused does: `raycon runs show` has no page for them. Of
    one command that was given several times, the last."""
    newest = {one.command: one for one in read_submissions(folder)}
    return [one for one in newest.values() if one.sweep is None or not (folder / one.sweep / LOG_NAME).is_file()]


def _submission(row: Mapping[str, Any]) -> Submission:
    return Submission(
        row["id"],
        row.get("sweep"),
        tuple(row["command"]),
        row["began"],
        row.get("host", ""),
        row.get("versions", {}),
        row.get("ended"),
        row.get("exit_code"),
    )


def _append(folder: Path, row: Mapping[str, Any]) -> None:
    """One write of one line: several commands may write at the same time."""
    folder.mkdir(parents=True, exist_ok=True)
    data = (json.dumps(row, allow_nan=False) + "\n").encode()
    descriptor = os.open(folder / FILE_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
