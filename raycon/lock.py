"""A lock on the folder of a sweep: two drivers that write one log would ruin it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from raycon.errors import Refused


class FolderLock:
    """Holds `<folder>/lock` until `release` or the end of the process, SIGKILL included (the system frees the lock).

    The file stays where it is: removing it would let two processes hold locks on two files of one name. Its content,
    pid and host, is for people. On network file systems `flock` may hold per machine only.
    Raises `Refused` where another process, or another lock of this one, holds the folder.
    """

    def __init__(self, folder: Path):
        self.path = folder / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> FolderLock:
        """Take the lock at once, or raise `Refused` with the pid that holds it."""
        if self._descriptor is not None:
            raise RuntimeError(f"{self.path} is already held")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise Refused(f"{self.path.parent} is locked by {holder}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Give the lock back. Safe to call twice."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
