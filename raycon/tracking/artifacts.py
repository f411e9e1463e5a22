"""Files beside the runs of a sweep that are in MLflow already, such as the pictures of a report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from raycon.errors import RayconError
from raycon.history import LOG_NAME
from raycon.tracking.records import Change
from raycon.tracking.redaction import redact_text
from raycon.tracking.server import experiment_of
from raycon.tracking.tail import log_digest
from raycon.tracking.tracker import MlflowStore, artifact_folder, first_line, resolve_uri

logger = logging.getLogger("raycon.tracking")


def attach(folder: Path, files: Mapping[str, Mapping[str, bytes]], uri: str | None = None) -> int:
    """Puts `files`, key of a run -> name -> content, beside the runs of the log in `folder`; no key means the sweep.

    A sweep of which nothing was ever delivered ran without a tracker, and stays without one unless `uri` names it. Runs
    that the tracker does not have are left out: `raycon sync` delivers them first. Attaching again replaces the files.
    Returns the number of runs that have their files now. Raises RayconError where the tracker is not reached.
    """
    log_id = log_digest(folder / LOG_NAME)
    if log_id is None or not (uri or experiment_of(folder)):
        return 0
    place = resolve_uri(uri, folder.parent)
    store = MlflowStore(place, folder.name, artifact_folder(place, folder.parent))
    try:
        store.open()
        store.find(log_id)
        known = [key for key in files if key in store.runs]
        for key in known:
            store.write(Change(key, key or folder.name, 0, files=dict(files[key])))
    except Exception as error:  # of mlflow, which raises anything
        raise RayconError(f"tracker {redact_text(place)}: {first_line(error)}") from error
    if len(known) < len(files):
        missing = len(files) - len(known)
        logger.warning("%d runs are not in MLflow yet; `raycon sync %s` delivers them", missing, folder.name)
    return len(known)
