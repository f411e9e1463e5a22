"""Where and on what a sweep runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raycon.object_storage import checked


@dataclass(frozen=True)
class Settings:
    """Where and on what a sweep runs; none of it changes a result.

    out: the driver's folder (RAYCON_OUT, else ./raycon_out). storage: where weights go, a folder or an s3:// or gs://
    URI that all nodes reach (RAYCON_STORAGE, else the sweep's folder in `out`). slots: runs at a time (as many as fit);
    a search uses sweep.lag + 1 at most. resources: {'cpu', 'gpu'} of a worker. tracking: an MLflow URI
    (MLFLOW_TRACKING_URI, else a SQLite file in `out`), or 'off'. require_tracking: fail without it.
    wait_minutes: how long to wait for room in a cluster that is full or has yet to grow, and for a failing storage.
    here: in this process, one run after another, without Ray; for debuggers, and for runs of less than a second.
    """

    out: Path | None = None
    storage: str | None = None
    slots: int | None = None
    resources: Mapping[str, float] | None = None
    tracking: str | None = None
    require_tracking: bool = False
    here: bool = False
    wait_minutes: float = 30.0

    @property
    def folder(self) -> Path:
        """The output folder, absolute."""
        return Path(self.out or os.environ.get("RAYCON_OUT") or "raycon_out").resolve()

    @property
    def shared(self) -> str | None:
        """The storage, an absolute path or a URI, where one is named. Raises InvalidFile for another kind of URI."""
        named = self.storage or os.environ.get("RAYCON_STORAGE")
        return checked(named) if named else None
