"""A disk that can crash at each of its steps and forgets what was not synced, and a clock that jumps."""

from __future__ import annotations

import random
from pathlib import Path


class Crash(BaseException):
    """The process, or the machine, is gone. No `except Exception` may survive it."""


class _File:
    """`data` is what a reader sees, `durable` what a power cut leaves."""

    def __init__(self) -> None:
        self.data = b""
        self.durable = b""


class SimulatedDisk:
    """A `raycon.disk.Disk` in memory.

    Every operation consists of steps; at step `crash_at` it raises `Crash`, at step `fail_at` an OSError. Unsynced
    bytes may survive a power cut in part, torn, or with a hole; of the changes of names that were not synced, a prefix
    survives in each folder.
    """

    def __init__(self, seed: int):
        self.steps = 0
        self.crash_at: int | None = None
        self.fail_at: int | None = None
        self._random = random.Random(seed)
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._pending: list[tuple[Path, Path | None, _File]] = []  # target, source of a rename, file
        self._named: set[Path] = set()

    def append(self, path: Path, data: bytes) -> None:
        self._step()
        file = self._create(path)
        before = file.data
        file.data = before + data[: self._random.randrange(len(data) + 1)]
        self._step()
        file.data = before + data
        self._step()

    def extend(self, path: Path, size: int, ending: bytes, data: bytes) -> bool:
        self._step()
        file = self._names.get(path)
        if file is None or len(file.data) != size or not file.data.endswith(ending):
            return False
        # From here on it is this file, whatever gets its name meanwhile.
        self._step()
        before = file.data
        file.data = before + data[: self._random.randrange(len(data) + 1)]
        self._step()
        file.data = before + data
        self._step()
        file.durable = file.data
        self._step()
        return True

    def write(self, path: Path, data: bytes) -> None:
        self._step()
        file = self._create(path)
        file.data = data[: self._random.randrange(len(data) + 1)]
        self._step()
        file.data = data
        self._step()

    def fsync(self, path: Path) -> None:
        self._step()
        self._names[path].durable = self._names[path].data
        self._step()
        if path not in self._named:
            self._sync_names(path.parent)
            self._named.add(path)
            self._step()

    def put(self, path: Path, data: bytes) -> None:
        """Make `data` the durable content at once, as a bucket does."""
        file = self._names[path] = self._durable_names[path] = _File()
        file.data = file.durable = data

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        file = self._names.pop(source)
        self._names[target] = file
        self._pending.append((target, source, file))
        self._step()
        self._sync_names(target.parent)
        self._step()

    def truncate(self, path: Path, length: int) -> None:
        self._step()
        file = self._names[path]
        file.data = file.data[:length]
        self._step()
        file.durable = file.data
        self._step()

    def read(self, path: Path) -> bytes:
        if path not in self._names:
            raise FileNotFoundError(str(path))
        return self._names[path].data

    def exists(self, path: Path) -> bool:
        return path in self._names

    def list(self, folder: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == folder)

    def makedirs(self, folder: Path) -> None:
        self._step()

    def unsynced(self, path: Path) -> bytes:
        """The bytes at the end of `path` that a power cut could take; all of them where its name is not durable."""
        file = self._names[path]
        return file.data[len(file.durable) :] if self._durable_names.get(path) is file else file.data

    def kill(self) -> None:
        """The process dies; the machine lives on, with all that it had been given."""
        self._named.clear()
        self.crash_at = self.fail_at = None

    def cut_power(self) -> None:
        """The machine dies."""
        self.kill()
        lost_folders: set[Path] = set()
        for target, source, file in self._pending:
            if target.parent in lost_folders or self._random.random() < 0.5:
                lost_folders.add(target.parent)
                continue
            self._durable_names[target] = file
            if source is not None:
                self._durable_names.pop(source, None)
        self._pending.clear()
        self._names = dict(self._durable_names)
        for file in {id(file): file for file in self._names.values()}.values():
            file.data = file.durable = self._left_of(file)

    def wipe(self, folder: Path) -> None:
        """Everything in the folder is gone, as with a machine that is replaced."""
        for names in (self._names, self._durable_names):
            for path in [path for path in names if path.parent == folder]:
                del names[path]
        self._pending = [change for change in self._pending if change[0].parent != folder]

    def _left_of(self, file: _File) -> bytes:
        if file.data == file.durable:
            return file.durable
        if file.durable.startswith(file.data):  # cut, or about to be
            return self._random.choice([file.durable, file.data])
        if not file.data.startswith(file.durable):  # written anew
            return self._random.choice([file.durable, file.data, file.data[: len(file.data) // 2], b""])
        tail = file.data[len(file.durable) :]
        cut = self._random.randrange(len(tail) + 1)
        garbage = bytes(self._random.randrange(256) for _ in range(min(len(tail) - cut, 40)))
        left = [
            b"",
            tail,
            tail[:cut],
            tail[:cut] + garbage,
            tail[:cut] + bytes(len(tail) - cut),
            bytes(cut) + tail[cut:],
        ]
        return file.durable + self._random.choice(left)

    def _create(self, path: Path) -> _File:
        if path not in self._names:
            self._names[path] = _File()
            self._pending.append((path, None, self._names[path]))
        return self._names[path]

    def _sync_names(self, folder: Path) -> None:
        for target, source, file in self._pending:
            if target.parent == folder:
                self._durable_names[target] = file
                if source is not None:
                    self._durable_names.pop(source, None)
        self._pending = [change for change in self._pending if change[0].parent != folder]

    def _step(self) -> None:
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise Crash
        if self.fail_at is not None and self.steps >= self.fail_at:
            self.fail_at = None
            raise OSError(28, "No space left on device")


class SimulatedClock:
    """Seconds that mostly advance, and now and then jump back."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self._now = 1.7e9

    def __call__(self) -> float:
        self._now += self._random.expovariate(1.0)
        if self._random.random() < 0.02:
            self._now -= 3600.0
        return self._now
