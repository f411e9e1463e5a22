"""Checkpoints: safetensors beside a manifest with their checksum, written so that a crash never leaves a half one.

A checkpoint is a folder `epoch-0003` with `state.safetensors` and `manifest.json`. It is written under another name,
made durable, and renamed. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raycon.errors import RayconError

if TYPE_CHECKING:
    from torch import Tensor

TENSORS, MANIFEST = "state.safetensors", "manifest.json"
KEPT = 2
"""How many checkpoints of a run stay: the newest, and the one before it in case the newest is damaged."""


class DamagedCheckpoint(RayconError):
    """A checkpoint whose files are missing, cut short or changed."""


def write_checkpoint(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes a checkpoint. One that is there already and sound is left alone: a repeated epoch gives the same state."""
    from safetensors.torch import save_file

    if is_sound(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    draft.mkdir(parents=True)
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, draft / TENSORS)
    size = (draft / TENSORS).stat().st_size
    manifest = {"format": 1, "sha256": _sha256(draft / TENSORS), "bytes": size, **facts}
    (draft / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    for path in (draft / TENSORS, draft / MANIFEST, draft):
        _make_durable(path)
    os.rename(draft, folder)
    _make_durable(folder.parent)
    _drop_old(folder)


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a checkpoint. Raises DamagedCheckpoint if its checksum does not fit."""
    from safetensors.torch import load_file

    if not is_sound(folder):
        raise DamagedCheckpoint(f"{folder}: the checkpoint is incomplete or damaged")
    facts = json.loads((folder / MANIFEST).read_text())
    return load_file(folder / TENSORS), facts


def is_sound(folder: Path) -> bool:
    """Whether a checkpoint is whole: the manifest can be read and the checksum of the tensors fits."""
    try:
        facts = json.loads((folder / MANIFEST).read_text())
        return bool(facts["sha256"] == _sha256(folder / TENSORS))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest_checkpoint(run: Path) -> Path | None:
    """The sound checkpoint of the latest epoch of a run, over all its attempts, or None."""
    for _, _, folder in sorted(stored_in(run), reverse=True):
        if is_sound(folder):
            return folder
    return None


def stored_in(run: Path) -> Iterator[tuple[int, int, Path]]:
    """(epoch, attempt, folder) of every checkpoint in the folder of a run, whole or not."""
    for folder in run.glob("attempt-*/epoch-*"):
        if (place := place_of(folder.as_posix())) is not None:
            yield *place, folder


def outdated(stored: Iterable[tuple[int, int]], epoch: int, attempt: int) -> set[tuple[int, int]]:
    """Which (epoch, attempt) of a run are no longer needed, now that one more is written: what is older than the last
    KEPT epochs up to it. Later epochs are left alone, which a log that was behind when its head was lost does not know;
    so are those of later attempts, which a worker that was cut off must not touch."""
    ours = {(other, number) for other, number in stored if other <= epoch and number <= attempt}
    keep = sorted({other for other, _ in ours}, reverse=True)[:KEPT]
    return {(other, number) for other, number in ours if other not in keep}


def place_of(folder: str) -> tuple[int, int] | None:
    """(epoch, attempt) of the folder of a checkpoint, by its last two names; None where it is none."""
    names = folder.rsplit("/", 2)[-2:]
    attempt, epoch = names[0].removeprefix("attempt-"), names[-1].removeprefix("epoch-")
    return (int(epoch), int(attempt)) if attempt.isdigit() and epoch.isdigit() else None


def _drop_old(newest: Path) -> None:
    """Removes the checkpoints of the same run that are outdated."""
    written = place_of(newest.as_posix())
    if written is None:
        return
    found = {(epoch, attempt): folder for epoch, attempt, folder in stored_in(newest.parent.parent)}
    for place in outdated(found, *written):
        shutil.rmtree(found[place], ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
