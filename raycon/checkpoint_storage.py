"""Checkpoints wherever they lie: in a folder that all nodes mount, or on object storage by URI.

On object storage a checkpoint is written to a folder of the node first, then uploaded, the tensors before the manifest:
a manifest that is there says that all of it is there. Whoever loads one fetches it to a folder of its own node and
checks the checksum there. These folders live as long as they are used; what a killed process leaves is removed a day
later.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from raycon.checkpoints import (
    MANIFEST,
    TENSORS,
    DamagedCheckpoint,
    is_sound,
    newest_checkpoint,
    outdated,
    place_of,
    stored_in,
)
from raycon.object_storage import ObjectFolder, above, is_uri, join, last_part, patiently, shown
from raycon.wording import one_line

DRAFTS = "raycon-checkpoint-"
OS_ERROR = re.compile(r"os error (\d+)")
STALE = 86400.0
"""Seconds after which a folder with a checkpoint in transit was left by a process that is gone."""


class StorageLost(OSError):
    """A checkpoint could not be written to its storage, or fetched from there: neither the run nor its node is to
    blame. On the way through Ray only the text of an error is left, which begins with this name."""

    @classmethod
    def told_in(cls, reason: str) -> bool:
        """Whether the text of an error is that of one of these."""
        return f"{cls.__name__}: " in reason


@contextlib.contextmanager
def on_storage(place: str) -> Iterator[None]:
    """An OSError of the block is raised as StorageLost. On object storage the disk that is full is the node's own."""
    try:
        with disk_errors():
            yield
    except StorageLost:
        raise
    except OSError as error:
        if is_uri(place) and error.errno == errno.ENOSPC:
            raise
        raise StorageLost(one_line(f"{shown(place)}: {type(error).__name__}: {error}")) from error


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """What safetensors says of a disk, a full one for example, is raised as OSError, which it does not do."""
    try:
        yield
    except Exception as error:
        # By name: a loop that writes nothing has no need of the package.
        if type(error).__name__ == "SafetensorError" and (found := OS_ERROR.search(str(error))):
            raise OSError(int(found[1]), str(error)) from error
        raise


def checkpoint_place(run: str, attempt: int, epoch: int) -> str:
    """Where the checkpoint of an epoch goes. The attempt is in the path: two drivers never write to the same place."""
    return join(run, f"attempt-{attempt}", f"epoch-{epoch:04d}")


def usable(place: str) -> bool:
    """Whether a checkpoint can be loaded. On object storage its bytes are not read: the manifest has to be there, and
    the tensors as long as it says. A storage that does not answer says nothing against it: who loads it will see."""
    if not is_uri(place):
        return is_sound(Path(place))
    try:
        return patiently(lambda: _is_whole(ObjectFolder(place)))
    except OSError:
        return True


def newest_place(run: str) -> str | None:
    """The usable checkpoint of the latest epoch of a run, or None. Raises OSError where the storage does not answer."""
    if not is_uri(run):
        found = newest_checkpoint(Path(run))
        return None if found is None else str(found)
    for epoch, attempt in sorted(_stored(run), reverse=True):
        place = checkpoint_place(run, attempt, epoch)
        if _is_whole(ObjectFolder(place)):
            return place
    return None


def earlier_place(place: str) -> str | None:
    """The usable checkpoint of the same run before a damaged one, or None. Raises StorageLost where the storage does
    not answer."""
    damaged = place_of(shown(place))
    if damaged is None:
        return None
    run = above(place, 2)
    with on_storage(run):
        stored = _stored(run) if is_uri(run) else {found[:2] for found in stored_in(Path(run))}
    for epoch, attempt in sorted(stored, reverse=True):
        earlier = checkpoint_place(run, attempt, epoch)
        if epoch < damaged[0] and usable(earlier):
            return earlier
    return None


@contextlib.contextmanager
def written_to(place: str) -> Iterator[Path]:
    """The folder that a checkpoint is to be written to in the block; after it, what was written there is uploaded.
    Raises StorageLost where that fails again and again."""
    if not is_uri(place):
        with on_storage(place):
            yield Path(place)
        return
    with _scratch() as scratch:
        # As deep as on the storage: what writes it looks beside it for older ones.
        folder = scratch / "attempt" / last_part(place)
        with disk_errors():
            yield folder
        if (folder / MANIFEST).is_file():
            with on_storage(place):
                _publish(folder, place)


@contextlib.contextmanager
def local_copy(place: str | None) -> Iterator[str | None]:
    """A checkpoint as a folder, for as long as the block; None stays None.

    Raises DamagedCheckpoint where it is not whole, StorageLost where the storage does not answer.
    """
    if place is None or not is_uri(place):
        yield place
        return
    with _scratch() as scratch:
        with on_storage(place):
            folder = _fetched(place, scratch)
        yield str(folder)


@functools.cache
def kept_copy(place: str) -> Path:
    """A checkpoint as a folder that stays until this process ends. Raises as `local_copy`."""
    if not is_uri(place):
        return Path(place)
    scratch = _new_scratch()
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return _fetched(place, scratch)


def _fetched(place: str, scratch: Path) -> Path:
    objects, folder = ObjectFolder(place), scratch / last_part(place)
    folder.mkdir()
    for name in (MANIFEST, TENSORS):
        try:
            patiently(functools.partial(objects.download, name, folder / name))
        except FileNotFoundError:
            raise DamagedCheckpoint(f"{shown(place)}: the checkpoint is incomplete, {name} is missing") from None
    if not is_sound(folder):
        raise DamagedCheckpoint(f"{shown(place)}: the checkpoint is incomplete or damaged")
    return folder


def _publish(folder: Path, place: str) -> None:
    """Upload a checkpoint, and remove those of the same run that are older than the last KEPT epochs. One that is there
    already and whole is left alone."""
    objects = ObjectFolder(place)
    if patiently(lambda: _is_whole(objects)):
        return
    with contextlib.suppress(FileNotFoundError):
        patiently(lambda: objects.delete(MANIFEST))
    patiently(lambda: objects.upload(folder / TENSORS, TENSORS))
    patiently(lambda: objects.write(MANIFEST, (folder / MANIFEST).read_bytes()))
    with contextlib.suppress(OSError):
        _drop_old(place)


def _drop_old(newest: str) -> None:
    written = place_of(shown(newest))
    if written is not None:
        run = above(newest, 2)
        for epoch, attempt in sorted(outdated(_stored(run), *written)):
            ObjectFolder(checkpoint_place(run, attempt, epoch)).clear()


def _stored(run: str) -> set[tuple[int, int]]:
    """(epoch, attempt) of what lies below a run on object storage, whole or not."""
    found = set()
    for name in patiently(ObjectFolder(run).names):
        place = place_of(name.rpartition("/")[0])
        if place is not None:
            found.add(place)
    return found


def _is_whole(objects: ObjectFolder) -> bool:
    data = objects.read(MANIFEST)
    try:
        facts = json.loads(data or b"")
        size = objects.size(TENSORS)
        # A manifest of before sizes were noted tells only that the tensors had been uploaded.
        return size is not None and size == facts.get("bytes", size) and bool(facts["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = _new_scratch()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_scratch() -> Path:
    root = Path(os.environ.get("RAYCON_CACHE") or tempfile.gettempdir()).expanduser()
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    return Path(tempfile.mkdtemp(prefix=DRAFTS, dir=root))


@functools.cache
def _remove_stale(root: Path) -> None:
    for folder in root.glob(f"{DRAFTS}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < time.time() - STALE and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
