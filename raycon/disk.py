"""The file operations under the event log, as a protocol, so that a crash at each of them can be simulated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Files named by path. Nothing is durable before `fsync` (contents) or `replace` (the new name)."""

    def append(self, path: Path, data: bytes) -> None:
        """Write `data` at the end of `path`, which is created where it does not exist. Not durable yet."""

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

    def size(self, path: Path) -> int:
        """The length of the content in bytes. Raises FileNotFoundError."""

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

    def size(self, path: Path) -> int:
        """See `Disk.size`."""
        return path.stat().st_size

    def exists(self, path: Path) -> bool:
        """See `Disk.exists`."""
        return path.exists()

    def list(self, folder: Path) -> list[str]:
        """See `Disk.list`."""
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def makedirs(self, folder: Path) -> None:
        """See `Disk.makedirs`."""
        folder.mkdir(parents=True, exist_ok=True)


def write_durably(disk: Disk, path: Path, data: bytes) -> None:
    """Put `data` into `path` so that at every moment, a power cut included, the file is the old or the new one."""
    temporary = path.with_name(path.name + ".partial")
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
