"""MLflow as a replayable view of the event log. Loads mlflow only when it is used."""

from __future__ import annotations

from raycon.tracking.replay import Figures
from raycon.tracking.tracker import MlflowStore, Tracker, Undelivered, resolve_uri, sync

__all__ = ["Figures", "MlflowStore", "Tracker", "Undelivered", "resolve_uri", "sync"]
