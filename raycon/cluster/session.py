"""Starting Ray or attaching to it, ending it cleanly, and ending what a killed attempt has left behind."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from raycon.cluster.capacity import Capacity, total
from raycon.cluster.declared import capacity_now

MARK = "RAYCON_SWEEP_FOLDER"
"""Environment variable that every process of a local Ray inherits: the folder of the sweep that started it."""

OBJECT_STORE_BYTES = 200 * 1024**2
"""Only assignments and reports pass through the object store; data sets and weights do not."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
}
"""Settings of Ray for a sweep; the sweep's own log and tracker replace what they switch off."""


@dataclass(frozen=True)
class Session:
    """A connection to Ray and what it may hold. `processes` are those that it started on this host; none if it was
    attached to."""

    capacity: Capacity
    started_here: bool
    processes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def gpus(self) -> float:
        """The GPUs that there are or may come to be."""
        return total(self.capacity, "gpus")


@contextlib.contextmanager
def ray_session(folder: Path) -> Iterator[Session]:
    """Ray for a sweep whose files lie in `folder`.

    Ray that this process is connected to already is used and left alone; else RAY_ADDRESS is attached to; else a local
    Ray is started, with its dashboard (Train's cleaner needs it) on the loopback interface, and ended with the block.
    """
    import ray

    with environment(QUIET):
        if ray.is_initialized():
            yield session_of(started_here=False)
            return
        started_here = not os.environ.get("RAY_ADDRESS")
        with environment({MARK: str(folder.resolve())} if started_here else {}):
            start(started_here)
        try:
            yield session_of(started_here=started_here)
        finally:
            ray.shutdown()


def start(locally: bool) -> None:
    """Connect this process to Ray, quietly."""
    import ray

    if not locally:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    keep_token()
    ray.init(
        address="local",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def token_file() -> Path | None:
    """The file that Ray takes the token of this process from; None where RAY_AUTH_TOKEN is the token itself."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def keep_token() -> None:
    """See to it that nobody else ever reads the token of a Ray that is started here.

    Where there is none Ray makes one, which everybody may read: so it is made before, as Ray does it (256 random bits,
    in hexadecimal digits). One that is there stays; its file is closed to others. A file that RAY_AUTH_TOKEN_PATH names
    is the user's: Ray refuses to start where it is missing.
    """
    token = token_file()
    asked = os.environ.get("RAY_AUTH_MODE", "token").lower() == "token"
    if not asked or token is None or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    # A home that cannot be written to is Ray's to complain of.
    with contextlib.suppress(OSError):
        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            opened = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token.chmod(0o600)
            return
        with os.fdopen(opened, "w") as file:
            file.write(secrets.token_hex(32))


def session_of(*, started_here: bool) -> Session:
    """What is known of the Ray that this process is connected to."""
    children = [record for child in children_here() if (record := record_of(child, "ray"))] if started_here else []
    return Session(capacity_now(started_here=started_here), started_here, children)


def children_here() -> list[psutil.Process]:
    """All processes below this one."""
    return list(psutil.Process().children(recursive=True))


def record_of(process: psutil.Process, role: str) -> dict[str, Any] | None:
    """What identifies a process for good; None if it has ended meanwhile."""
    try:
        return {"pid": process.pid, "created": process.create_time(), "role": role, "host": os.uname().nodename}
    except psutil.Error:
        return None


@contextlib.contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """Set environment variables that are not set already, and take them away again."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def end_leftovers(folder: Path, recorded: Iterable[dict[str, Any]], patience: float = 5.0) -> list[int]:
    """End the processes that an earlier attempt left on this host; their pids.

    They are those `recorded` in the log (same host, pid and time of creation), what descends from them or was started
    by a recorded raylet, and every process that carries the mark of `folder`, which covers those that the attempt had
    no time to record. Call it with the folder's lock held: the mark then belongs to no living driver but this process,
    whose own children are spared.
    """
    recorded = [record for record in recorded if record.get("host", os.uname().nodename) == os.uname().nodename]
    own = {os.getpid(), *(child.pid for child in children_here())}
    own |= {parent.pid for parent in psutil.Process().parents()}
    found: dict[int, psutil.Process] = {}
    for process in [*recorded_processes(recorded), *workers_of(recorded), *marked_processes(folder)]:
        with contextlib.suppress(psutil.Error):
            for member in (process, *process.children(recursive=True)):
                if member.pid not in own:
                    found[member.pid] = member
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(list(found.values()), timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)
    return sorted(found)


def recorded_processes(recorded: Iterable[dict[str, Any]]) -> Iterator[psutil.Process]:
    """Those of the recorded processes that still run here. A pid that was given to another process is passed over."""
    for record in recorded:
        with contextlib.suppress(psutil.Error):
            if created_at(int(record["pid"]), float(record["created"])):
                yield psutil.Process(int(record["pid"]))


def workers_of(recorded: list[dict[str, Any]]) -> Iterator[psutil.Process]:
    """The processes that name a recorded one as their raylet: they lose it as a parent when it dies."""
    raylets = {str(record["pid"]): float(record["created"]) for record in recorded}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            raylet = process.environ().get("RAY_RAYLET_PID", "")
            if raylet not in raylets or process.create_time() < raylets[raylet]:
                continue
            # A pid that was given to another process since then may be another cluster's raylet.
            if not psutil.pid_exists(int(raylet)) or created_at(int(raylet), raylets[raylet]):
                yield process


def created_at(pid: int, created: float) -> bool:
    """Whether the process of that pid is the one that was created then."""
    return abs(psutil.Process(pid).create_time() - created) < 0.01


def marked_processes(folder: Path) -> Iterator[psutil.Process]:
    """The processes of this user that a sweep in `folder` has started."""
    mark = str(folder.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                yield process
