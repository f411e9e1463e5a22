"""The file operations under the event log, as a protocol, so that a crash at each of them can be simulated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Files named by path. Nothing is durable before `fsync` (contents) or `replace` (the new name)."""

    def append(self, path: Path, data: bytes) -> None:
        """Write `data` at the end of `path`, which is created where it does not exist. Not durable yet."""

    def extend(self, path: Path, size: int, ending: bytes, data: bytes) -> bool:
        """Write `data`, durably, at the end of a file that has `size` bytes of which the last are `ending`. False, with
        nothing written, for any other file and for none. Looking and writing go through one descriptor that was opened
        just now: what a network file system knows of a path may be older."""

    def write(self, path: Path, data: bytes) -> None:
        """Make `data` the whole content of `path`. Neither atomic nor durable: meant for temporary files."""

    def fsync(self, path: Path) -> None:
        """After this the content of `path`, and its name if the file is new, survive a power cut."""

    def replace(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, atomically and durably. The content must have been synced before."""

    def truncate(self, path: Path, length: int) -> None:
        """Cut `path` to `length` bytes, durably."""

    def read(self, path: Path) -> bytes:
        """The whole content. Raises FileNotFoundError."""

    def exists(self, path: Path) -> bool:
        """Whether a file or folder of that name is there."""

    def list(self, folder: Path) -> list[str]:
        """The names in `folder`, sorted; empty where the folder does not exist."""

    def makedirs(self, folder: Path) -> None:
        """Create `folder` and its parents where they are missing."""


class RealDisk:
    """The disk of this machine."""

    def __init__(self) -> None:
        self._named: set[Path] = set()  # files whose names this process has made durable

    def append(self, path: Path, data: bytes) -> None:
        """See `Disk.append`."""
        with path.open("ab") as file:
            file.write(data)

    def extend(self, path: Path, size: int, ending: bytes, data: bytes) -> bool:
        """See `Disk.extend`."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        with open(descriptor, "ab", buffering=0) as file:
            if os.fstat(descriptor).st_size != size:
                return False
            if os.pread(descriptor, len(ending), size - len(ending)) != ending:
                return False
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(descriptor)
        return True

    def write(self, path: Path, data: bytes) -> None:
        """See `Disk.write`."""
        path.write_bytes(data)

    def fsync(self, path: Path) -> None:
        """See `Disk.fsync`. The folder is synced once for each file, even for one that was there before: a process that
        was killed may have created it without getting as far as syncing its name."""
        _sync(path, os.O_RDWR)
        if path not in self._named:
            _sync(path.parent, os.O_RDONLY)
            self._named.add(path)

    def replace(self, source: Path, target: Path) -> None:
        """See `Disk.replace`."""
        os.replace(source, target)
        _sync(target.parent, os.O_RDONLY)

    def truncate(self, path: Path, length: int) -> None:
        """See `Disk.truncate`."""
        os.truncate(path, length)
        _sync(path, os.O_RDWR)

    def read(self, path: Path) -> bytes:
        """See `Disk.read`."""
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        """See `Disk.exists`."""
        return path.exists()

    def list(self, folder: Path) -> list[str]:
        """See `Disk.list`."""
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def makedirs(self, folder: Path) -> None:
        """See `Disk.makedirs`."""
        folder.mkdir(parents=True, exist_ok=True)


def write_durably(disk: Disk, path: Path, data: bytes, *, draft: str = "") -> None:
    """Put `data` into `path` so that at every moment, a power cut included, the file is the old or the new one. `draft`
    goes into the name of the temporary file, where several processes may write at once."""
    temporary = path.with_name(f"{path.name}{draft}.partial")
    disk.makedirs(path.parent)
    disk.write(temporary, data)
    disk.fsync(temporary)
    disk.replace(temporary, path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
