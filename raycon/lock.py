"""A lock on the folder of a sweep: two drivers that write one log would ruin it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from pathlib import Path
from types import TracebackType

from raycon.errors import Refused

logger = logging.getLogger("raycon")

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems without locks answer."""


class FolderLock:
    """Holds `<folder>/lock` until `release` or the end of the process, SIGKILL included (the system frees the lock).

    The file stays where it is: removing it would let two processes hold locks on two files of one name. Its content,
    pid and host, is for people. On network file systems `flock` may hold per machine only, and some have no locks at
    all (NFS without its lock daemon, Lustre mounted without `flock`): there the folder is taken with a warning, since
    nothing could ever be written to it otherwise. Raises `Refused` where another process, or another lock of this one,
    holds the folder, and where the file system fails to say so.
    """

    NAME = "lock"

    def __init__(self, folder: Path):
        self.path = folder / self.NAME
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
            if error.errno in NO_LOCKS:
                told = "%s cannot be locked (%s); see to it yourself that one process at a time works on it"
                logger.warning(told, self.path.parent, error.strerror)
            else:
                holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                os.close(descriptor)
                held = error.errno in (errno.EWOULDBLOCK, errno.EACCES)
                reason = f"is locked by {holder}" if held else f"cannot be locked: {error.strerror or error}"
                raise Refused(f"{self.path.parent} {reason}") from error
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
