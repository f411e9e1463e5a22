"""MLflow as a replayable view of a sweep's event log: the only module that imports mlflow, and only when it is used.

One background thread in the driver follows `events.jsonl`, gathers what changed, and writes it in batches. The log is
the truth: while the tracker is away the thread waits and tries again, nothing is kept in memory, and `sync` delivers
later what was missed. Replaying is harmless: runs are found again by their tags, parameters are written once with the
same values, and a metric row is (name, value, time of the event, epoch), which stores of MLflow keep once.

Layout: one experiment per sweep (or `MLFLOW_EXPERIMENT_NAME`), a parent run for the sweep with its own metrics by runs
ended, and one child per run with tag `raycon.key` = `<sweep>/<key>`. `raycon.log` names the event log, so that two
people who run the same file against one server do not write into each other's runs.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raycon.errors import RayconError
from raycon.history import LOG_NAME
from raycon.tracking.records import Change
from raycon.tracking.redaction import redact_text
from raycon.tracking.replay import Figures, Replay
from raycon.tracking.tail import destination_name

logger = logging.getLogger("raycon.tracking")

FLUSH_SECONDS, FLUSH_VALUES, POLL_SECONDS = 5.0, 500, 0.5
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
REQUIRED_SECONDS = 15.0
# A hanging or dead server must not hold the thread for minutes (the defaults of mlflow do): our own loop tries again.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"})


class MlflowStore:
    """Writes changes through `MlflowClient`. Not safe for several threads, nor meant for several writers of one log."""

    def __init__(self, uri: str, sweep: str, artifacts: Path | None):
        self.uri, self.sweep, self.artifacts = uri, sweep, artifacts
        self.experiment, self.log_id = "", ""
        self.runs: dict[str, str] = {}
        self.client: Any = None

    def open(self) -> None:
        """Import mlflow, connect (a new SQLite file is migrated here) and find or make the experiment."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
            if logging.getLogger(noisy).level == logging.NOTSET:
                logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=self.uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.sweep
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # Without a location, a SQLite store would put artefacts below whatever folder the process was started in.
            place = self.artifacts.resolve().as_uri() if self.artifacts else None
            self.experiment = str(self.client.create_experiment(name, artifact_location=place))
            return
        if found.lifecycle_stage == "deleted":
            logger.warning("the MLflow experiment %r was deleted; it is restored", name)
            self.client.restore_experiment(found.experiment_id)
        self.experiment = str(found.experiment_id)

    def find(self, log_id: str) -> None:
        """Learn all runs of this log at once: one search instead of one per run."""
        self.log_id, self.runs, token = log_id, {}, None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                filter_string=f"tags.`raycon.log` = '{log_id}'",
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                key = run.data.tags.get("raycon.key", "").removeprefix(self.sweep).removeprefix("/")
                self.runs.setdefault(key, run.info.run_id)
            token = page.token
            if not token:
                return

    def write(self, change: Change) -> None:
        """Parameters go alone, since one refused parameter would take the metrics of its call with it."""
        from mlflow.entities import Metric, Param, RunTag

        run_id, new = self._run_id(change)
        if change.params:
            params = [Param(name, value) for name, value in change.params.items()]
            self._try(change, self.client.log_batch, run_id, params=params, synchronous=True)
        metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in change.points]
        tags = [RunTag(name, value) for name, value in change.tags.items()]
        if metrics or tags:
            self._try(change, self.client.log_batch, run_id, metrics=metrics, tags=tags, synchronous=True)
        if change.dataset:
            self._try(change, self._name_dataset, run_id, change.dataset)
        for name, content in change.files.items():
            self._try(change, self._put, run_id, name, content)
        if change.status == "RUNNING" and not new:
            self._try(change, self.client.update_run, run_id, status="RUNNING")
        elif change.status not in (None, "RUNNING"):
            self._try(change, self.client.set_terminated, run_id, change.status, end_time=change.ended_ms)

    def _run_id(self, change: Change) -> tuple[str, bool]:
        known = self.runs.get(change.key)
        if known is not None:
            return known, False
        tags = {
            "raycon.sweep": self.sweep,
            "raycon.key": f"{self.sweep}/{change.key}" if change.key else self.sweep,
            "raycon.log": self.log_id,
            "mlflow.user": _user(),
        }
        if change.key:
            tags["mlflow.parentRunId"] = (
                self.runs[""] if "" in self.runs else self._run_id(Change("", self.sweep, 0))[0]
            )
        created = self.client.create_run(
            self.experiment, start_time=change.created_ms or None, tags=tags, run_name=change.title
        )
        self.runs[change.key] = str(created.info.run_id)
        return self.runs[change.key], True

    def _put(self, run_id: str, name: str, content: str | bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="raycon-") as folder:
            path = Path(folder) / name
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            self.client.log_artifact(run_id, str(path))

    def _name_dataset(self, run_id: str, name: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"tags": {"mlflow.user": _user(), "mlflow.source.name": "raycon"}})
        named = Dataset(name=name, digest="raycon", source_type="code", source=source)
        tag = InputTag(key="mlflow.data.context", value="train")
        self.client.log_inputs(run_id, datasets=[DatasetInput(dataset=named, tags=[tag])])

    def _try(self, change: Change, call: Callable[..., object], *arguments: object, **named: object) -> None:
        """Call the client. What is refused for good is said and dropped: trying again would block all the rest."""
        from mlflow.exceptions import MlflowException

        try:
            call(*arguments, **named)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            logger.warning("MLflow refuses a part of %s: %s", change.title, first_line(error))


@dataclass(frozen=True)
class Undelivered:
    """What a tracker left behind: the number of events, and why."""

    events: int
    reason: str | None = None

    def message(self, sweep: str) -> str:
        """One line for the user; empty where everything was delivered."""
        if not self.events:
            return ""
        why = f" ({self.reason})" if self.reason else ""
        return f"tracker: {self.events} events are not delivered{why}; `raycon sync {sweep}` delivers them"


class Tracker:
    """Follows the log of one sweep in a background thread of the driver.

    `uri`: an MLflow tracking URI; None means `MLFLOW_TRACKING_URI`, else a SQLite file in `out`. `require`: `start`
    raises when the tracker cannot be reached within 15 s (120 s for a local database, which may have to be made);
    otherwise an unreachable tracker is said once and tried again, from 1 s to 60 s apart, until `close`.
    """

    def __init__(
        self, folder: Path, uri: str | None, out: Path, figures: Figures | None = None, require: bool = False
    ) -> None:
        self.folder, self.uri, self.require = folder, resolve_uri(uri, out), require
        self.store = MlflowStore(self.uri, folder.name, artifact_folder(self.uri, out))
        self.replay = Replay(folder, self.store, destination_name(self.uri, _experiment_name(folder.name)), figures)
        self._reached, self._closing = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._main, name="raycon-tracking", daemon=True)

    def start(self) -> None:
        """Start the thread. With `require`, wait for the tracker; raises `RayconError` when it is not reached."""
        self._thread.start()
        if not self.require:
            return
        limit = 120.0 if self.uri.startswith("sqlite:") else REQUIRED_SECONDS
        started = time.monotonic()
        while not self._reached.wait(0.05):
            if self._trouble or time.monotonic() - started > limit - 0.5:
                self._deadline = 0.0
                self._closing.set()
                raise RayconError(
                    f"the tracker {redact_text(self.uri)} is required but cannot be reached: "
                    f"{self._trouble or 'no answer in time'}"
                )

    def close(self, timeout: float = 30.0) -> Undelivered:
        """Deliver what is left, for at most `timeout` seconds, and end. Says what could not be delivered."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout + 0.5)
        left = Undelivered(self.replay.waiting(), self._trouble)
        if left.events:
            logger.warning("%s", left.message(self.folder.name))
        return left

    def _main(self) -> None:
        try:
            self._follow()
        except Exception as error:  # nothing that happens here may reach the sweep
            self._trouble = first_line(error)
            logger.warning("tracker: %s; the rest of the events stays undelivered", self._trouble)

    def _follow(self) -> None:
        if not self._until_done(self.store.open):
            return
        self._reached.set()
        since = None
        while time.monotonic() < self._deadline:
            closing = self._closing.is_set()
            if not self.replay.found and not self._until_done(self.replay.find):
                if closing or self._closing.wait(POLL_SECONDS):
                    return
                continue
            more, now, batch = self.replay.pull(), time.monotonic(), self.replay.batch
            since = since or (now if self.replay.last.number > self.replay.delivered else None)
            due = since is not None and (batch.urgent or batch.values >= FLUSH_VALUES or now - since >= FLUSH_SECONDS)
            if due or (closing and not more):
                if not self._until_done(self.replay.push):
                    return
                since = None
            if closing and not more:
                return
            if not more:
                self._closing.wait(POLL_SECONDS)

    def _until_done(self, call: Callable[[], bool | None]) -> bool:
        """Call until it succeeds, waiting longer each time; False where it was not done before the deadline, or said
        that it cannot be done yet."""
        wait, trouble = FIRST_WAIT, False
        while True:
            try:
                if trouble and self.replay.found:
                    self.replay.find()  # a request that seemed to fail may have made its run
                result = call()
            except Exception as error:
                self._trouble, first = first_line(error), not trouble
                trouble = True
                if first:
                    logger.warning(
                        "tracker %s: %s; the sweep goes on, its events are kept and sent later",
                        *(redact_text(self.uri), self._trouble),
                    )
                self._pause(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                if time.monotonic() >= self._deadline:
                    return False
                continue
            if trouble:
                logger.info("tracker %s: reached again", redact_text(self.uri))
            self._trouble = None
            return result is not False

    def _pause(self, seconds: float) -> None:
        """Wait before the next try. `close` cuts a long wait short; while closing, tries come at most 1 s apart."""
        if self._closing.is_set():
            time.sleep(max(0.0, min(seconds, 1.0, self._deadline - time.monotonic())))
        else:
            self._closing.wait(seconds)


def sync(
    folder: Path, uri: str | None = None, out: Path | None = None, figures: Figures | None = None, *, again: bool = True
) -> int:
    """Deliver the whole log of a sweep; with `again=False`, only what follows the stored cursor.

    Returns the number of events in the log. Raises `RayconError` when there is no log or the tracker is not reached.
    """
    if not (folder / LOG_NAME).is_file():
        raise RayconError(f"{folder / LOG_NAME}: there is no event log here")
    place = out or folder.parent
    uri = resolve_uri(uri, place)
    store = MlflowStore(uri, folder.name, artifact_folder(uri, place))
    replay = Replay(folder, store, destination_name(uri, _experiment_name(folder.name)), figures, use_cursor=not again)
    try:
        store.open()
        replay.find()
        while replay.pull():
            if replay.batch.values >= FLUSH_VALUES:
                replay.push()
        replay.view.picture(replay.batch)  # of which a driver that was killed has left none
        replay.push()
    except RayconError:
        raise
    except OSError as error:
        raise RayconError(f"{folder}: {error}") from error
    except Exception as error:
        raise RayconError(f"tracker {redact_text(uri)}: {first_line(error)}") from error
    return replay.delivered


def resolve_uri(uri: str | None, out: Path) -> str:
    """The tracking URI that holds: the given one, else `MLFLOW_TRACKING_URI`, else `<out>/mlflow.db`."""
    if uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return uri or os.environ["MLFLOW_TRACKING_URI"]
    out.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(out / 'mlflow.db').resolve()}"


def artifact_folder(uri: str, out: Path) -> Path | None:
    """Where files go that a SQLite store cannot hold; None for a server, which has a place of its own."""
    return out / "mlartifacts" if uri.startswith("sqlite:") else None


def _experiment_name(sweep: str) -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or sweep


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id may have no name
        return "unknown"


def first_line(error: BaseException) -> str:
    """What a person reads of an error: one line, without secrets."""
    text = redact_text(str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:300]
