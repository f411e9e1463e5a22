"""The folder of one `raycon train`: it belongs to one configuration, and to one process at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raycon.checkpoints import newest_checkpoint
from raycon.config import Trial
from raycon.disk import RealDisk, write_durably
from raycon.errors import Refused
from raycon.lock import FolderLock
from raycon.own_code import NO_CODE, OwnCode
from raycon.space import trial_to_plain
from raycon.space.canonical import differences

TRIAL_NAME = "trial.json"


def default_folder(out: Path, trial: Trial, code: OwnCode = NO_CODE) -> Path:
    """A folder of its own for every configuration, so that the same command goes on with its own checkpoints."""
    text = json.dumps(_plain(trial, code), sort_keys=True)
    return out / "train" / hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(trial: Trial, code: OwnCode) -> dict[str, Any]:
    """The configuration, and the hashes of the user's own code where there is any."""
    return trial_to_plain(trial) | ({"code": code.hashes} if code else {})


@contextmanager
def claimed(folder: Path, trial: Trial, code: OwnCode = NO_CODE) -> Iterator[Path | None]:
    """Holds the folder for a run of `trial`; gives the newest sound checkpoint in it, or None.

    Raises Refused where another process holds it, or where it holds another configuration, with the differences.
    """
    folder = folder.resolve()
    with FolderLock(folder):
        disk, path = RealDisk(), folder / TRIAL_NAME
        newest, wanted = newest_checkpoint(folder), _plain(trial, code)
        if path.exists():
            changed = differences(json.loads(path.read_text()), wanted)
            if changed:
                lines = "".join(f"\n  {line}" for line in changed)
                raise Refused(f"{folder} holds a run of another configuration; take another folder:{lines}")
        elif newest is not None:
            raise Refused(f"{folder} holds checkpoints of a configuration that is not known; take another folder")
        else:
            write_durably(disk, path, (json.dumps(wanted, indent=1) + "\n").encode())
        yield newest
