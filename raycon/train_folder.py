"""The folder of one `raycon train`: it belongs to one configuration, and to one process at a time.

Several workers, on several nodes perhaps, share it: it may be on object storage then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raycon.checkpoint_storage import newest_place
from raycon.checkpoints import newest_checkpoint
from raycon.config import Trial
from raycon.disk import RealDisk, write_durably
from raycon.errors import InvalidFile, Refused
from raycon.lock import FolderLock
from raycon.object_storage import check_reachable, checked, is_uri, join, read_text, shown, write_text
from raycon.own_code import NO_CODE, OwnCode
from raycon.space import trial_to_plain
from raycon.space.canonical import differences

TRIAL_NAME = "trial.json"


def default_folder(out: Path | str, trial: Trial, code: OwnCode = NO_CODE) -> Path | str:
    """A folder of its own for every configuration, so that the same command goes on with its own checkpoints; a URI
    below a URI."""
    text = json.dumps(_plain(trial, code), sort_keys=True)
    place = join(str(out), "train", hashlib.sha256(text.encode()).hexdigest()[:8])
    return place if is_uri(place) else Path(place)


def _plain(trial: Trial, code: OwnCode) -> dict[str, Any]:
    """The configuration, and the hashes of the user's own code where there is any."""
    return trial_to_plain(trial) | ({"code": code.hashes} if code else {})


@contextmanager
def claimed(folder: Path | str, trial: Trial, code: OwnCode = NO_CODE) -> Iterator[Path | None]:
    """Holds the folder for a run of `trial`; gives the newest sound checkpoint in it, or None.

    Raises Refused where another process holds it, or where it holds another configuration, with the differences;
    InvalidFile for a URI.
    """
    if is_uri(folder):
        raise InvalidFile("one worker trains into a folder, not into object storage", field="folder")
    folder = Path(folder).resolve()
    with FolderLock(folder):
        disk, path = RealDisk(), folder / TRIAL_NAME
        newest, wanted = newest_checkpoint(folder), _plain(trial, code)
        if path.exists():
            _refuse_another(str(folder), path.read_text(), wanted)
        elif newest is not None:
            raise Refused(f"{folder} holds checkpoints of a configuration that is not known; take another folder")
        else:
            write_durably(disk, path, (json.dumps(wanted, indent=1) + "\n").encode())
        yield newest


@contextmanager
def claimed_place(place: Path | str, trial: Trial, code: OwnCode = NO_CODE) -> Iterator[tuple[str, str | None]]:
    """As `claimed`, for several workers: the place may be a URI, which nobody can hold for himself. Gives the place in
    full, too.

    Raises InvalidFile where the storage does not answer.
    """
    if not is_uri(place):
        with claimed(place, trial, code) as newest:
            yield str(Path(place).resolve()), None if newest is None else str(newest)
        return
    uri, wanted = checked(str(place)), _plain(trial, code)
    check_reachable(uri)
    if stored := read_text(uri, TRIAL_NAME):
        _refuse_another(shown(uri), stored, wanted)
    else:
        write_text(uri, TRIAL_NAME, json.dumps(wanted, indent=1) + "\n")
    yield uri, newest_place(uri)


def _refuse_another(place: str, stored: str, wanted: dict[str, Any]) -> None:
    if changed := differences(json.loads(stored), wanted):
        lines = "".join(f"\n  {line}" for line in changed)
        raise Refused(f"{place} holds a run of another configuration; take another folder:{lines}")
