"""The disk, the lock and the stopping rule."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raycon.disk import RealDisk, write_durably
from raycon.errors import Refused
from raycon.lock import FolderLock
from raycon.stopping import goes_on, rungs, value_at


def test_the_real_disk_does_what_it_says(tmp_path: Path) -> None:
    disk, path = RealDisk(), tmp_path / "a" / "b" / "file"
    disk.makedirs(path.parent)
    disk.makedirs(path.parent)
    assert not disk.exists(path) and disk.list(path.parent) == [] == disk.list(tmp_path / "absent")
    disk.append(path, b"one")
    disk.append(path, b"two")
    disk.fsync(path)
    disk.truncate(path, 4)
    assert disk.read(path) == b"onet" and disk.exists(path)
    write_durably(disk, path, b"new")
    assert disk.read(path) == b"new" and disk.list(path.parent) == ["file"]
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "absent")


def test_a_file_and_its_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    disk = RealDisk()
    disk.append(tmp_path / "log", b"x")
    disk.fsync(tmp_path / "log")
    disk.fsync(tmp_path / "log")
    assert synced == ["log", tmp_path.name, "log"]
    synced.clear()
    write_durably(disk, tmp_path / "other", b"y")
    assert synced[0] == "other.partial" and synced[-1] == tmp_path.name


def test_a_folder_is_locked_by_one(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "sweep") as held:
        with pytest.raises(Refused, match=f"locked by pid {os.getpid()} on "):
            FolderLock(tmp_path / "sweep").acquire()
        with pytest.raises(RuntimeError, match="already held"):
            held.acquire()
        FolderLock(tmp_path / "other").acquire().release()
    with FolderLock(tmp_path / "sweep"):
        pass
    held.release()


@pytest.mark.parametrize(
    ("number", "refused"),
    [(errno.ENOLCK, ""), (errno.ENOTSUP, ""), (errno.EIO, "cannot be locked: Input/output error")],
)
def test_a_file_system_that_cannot_lock_is_not_taken_for_a_locked_folder(
    number: int, refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    if refused:
        with pytest.raises(Refused, match=refused):
            FolderLock(tmp_path).acquire()
    else:
        FolderLock(tmp_path).acquire().release()
        assert "cannot be locked" in caplog.text and os.strerror(number) in caplog.text


def test_the_end_of_a_file_is_looked_at_and_added_to_at_once(tmp_path: Path) -> None:
    disk, path = RealDisk(), tmp_path / "log"
    assert not disk.extend(path, 0, b"", b"one\n") and not path.exists()
    disk.append(path, b"one\n")
    assert disk.extend(path, 4, b"one\n", b"two\n") and path.read_bytes() == b"one\ntwo\n"
    for size, ending in ((4, b"one\n"), (8, b"one\n"), (9, b"two\n")):
        assert not disk.extend(path, size, ending, b"three\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from raycon.lock import FolderLock; "
    code += "FolderLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(Refused, match=f"pid {process.pid} "):
        FolderLock(tmp_path).acquire()
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):
        try:
            FolderLock(tmp_path).acquire().release()
            return
        except Refused:
            time.sleep(0.02)
    raise AssertionError("the lock outlives its process")


def test_rungs_stay_below_the_full_budget() -> None:
    assert rungs(1, 3, 10) == (1, 3, 9)
    assert rungs(1, 3, 9) == (1, 3)
    assert rungs(2, 2, 5) == (2, 4)
    assert rungs(5, 3, 5) == rungs(7, 2, 5) == ()
    for after, reduction in ((0, 2), (1, 1)):
        with pytest.raises(ValueError, match="rungs need"):
            rungs(after, reduction, 10)


def test_the_value_of_a_rung_is_the_newest_finite_one_before_it() -> None:
    values = {2: 0.2, 4: 0.4, 5: float("nan"), 6: 0.6}
    assert [value_at(rung, values) for rung in (1, 2, 3, 4, 5, 6, 9)] == [None, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6]
    assert value_at(3, {}) is None


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_share_goes_on(higher: bool) -> None:
    sign = 1.0 if higher else -1.0

    def decide(own: float, earlier: list[float], reduction: int = 3) -> bool:
        return goes_on(sign * own, [sign * value for value in earlier], reduction, higher_is_better=higher)

    assert decide(0.0, []) and decide(0.0, [9.0])  # fewer than three values
    assert decide(3.0, [1.0, 2.0]) and not decide(1.5, [1.0, 2.0])
    assert [decide(own, [1.0, 2.0, 3.0, 4.0, 5.0]) for own in (0.5, 3.5, 4.5, 5.5)] == [False, False, True, True]
    assert decide(5.0, [5.0, 5.0]) and decide(5.0, [5.0, 1.0, 1.0])  # equal values share the better place
    assert [decide(own, [1.0], 2) for own in (0.5, 1.5)] == [False, True]
