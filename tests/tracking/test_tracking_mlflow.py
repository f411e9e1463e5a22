"""The tracker against real MLflow stores. One database is made and migrated for the session; each test gets a copy."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raycon.errors import RayconError
from raycon.tracking import Figures, MlflowStore, Tracker, sync
from raycon.tracking.records import Change, Point
from raycon.tracking.replay import Replay
from raycon.tracking.tail import CURSOR_NAME
from tests.tracking.synthetic_log import OBJECTIVE, LogWriter, write_sweep

# Making and migrating a database, and importing mlflow, take up to half a minute on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowStore(f"sqlite:///{path}", "template", path.parent).open()
    return path


@pytest.fixture
def out(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder with a database of its own."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


def client(out: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")


def runs(out: Path, sweep: str) -> list[Any]:
    """All runs of the sweep's experiment, by name; the parent, whose name is the sweep's, comes last."""
    experiment = client(out).get_experiment_by_name(sweep)
    return sorted(
        client(out).search_runs([experiment.experiment_id], max_results=1000), key=lambda run: run.info.run_name
    )


def rows(out: Path, sweep: str) -> list[tuple[Any, ...]]:
    """Every metric row of every run."""
    found = []
    for run in runs(out, sweep):
        for name in sorted(run.data.metrics):
            history = client(out).get_metric_history(run.info.run_id, name)
            found += [(run.info.run_name, name, row.step, row.timestamp, row.value) for row in history]
    return sorted(found)


def test_a_sweep_in_a_database(out: Path) -> None:
    write_sweep(out / "thanos", runs=3, epochs=3)
    figures = Figures(lambda run: b"picture of " + run.key.encode(), lambda history: b"picture of all")
    tracker = Tracker(out / "thanos", None, out, figures, require=True)
    tracker.start()
    assert tracker.close(60).events == 0
    *children, parent = runs(out, "thanos")
    assert parent.data.tags["raycon.key"] == "thanos" and parent.info.status == "FINISHED"
    assert parent.data.metrics["runs/finished"] == 3 and f"best/{OBJECTIVE}" in parent.data.metrics
    assert [child.data.tags["mlflow.parentRunId"] for child in children] == [parent.info.run_id] * 3
    first = children[0]
    assert first.data.tags["raycon.key"] == f"thanos/{first.info.run_name}"
    assert first.data.params["data.dataset"] == "fashion_mnist"
    assert first.inputs.dataset_inputs[0].dataset.name == "fashion_mnist"
    history = client(out).get_metric_history(first.info.run_id, OBJECTIVE)
    assert [row.step for row in history] == [1, 2, 3]
    assert first.info.start_time < history[0].timestamp < first.info.end_time
    place = out / "mlartifacts" / first.info.run_id / "artifacts"
    assert (place / "figure.png").read_bytes() == b"picture of " + first.info.run_name.encode()
    assert "batch_size: 256" in (place / "config.yaml").read_text()
    place = out / "mlartifacts" / parent.info.run_id / "artifacts"
    assert (place / "figure.png").read_bytes() == b"picture of all"
    # Delivered again from its start, and by the command: nothing is there twice.
    before = rows(out, "thanos")
    (out / "thanos" / CURSOR_NAME).unlink()
    assert sync(out / "thanos") == len((out / "thanos" / "events.jsonl").read_text().splitlines())
    sync(out / "thanos", again=False)
    assert rows(out, "thanos") == before
    assert len(runs(out, "thanos")[0].inputs.dataset_inputs) == 1


class Killed(Exception):
    """The driver was killed."""


def test_a_crash_within_a_batch_doubles_nothing(out: Path) -> None:
    """The driver dies between two calls to the database; the next one has no cursor and delivers all again."""
    folder = out / "s"
    write_sweep(folder, runs=2, epochs=2)
    shutil.copytree(out, out.with_name("straight"))
    sync(out.with_name("straight") / "s")
    wanted = rows(out.with_name("straight"), "s")
    for crash in (0, 2, 4):
        store = MlflowStore(f"sqlite:///{out / 'mlflow.db'}", "s", out / "mlartifacts")
        store.open()
        _break_after(store, crash)
        carrier = Replay(folder, store, "here", None, use_cursor=False)
        carrier.find()
        carrier.pull()
        with pytest.raises(Killed):
            carrier.push()
    sync(folder)
    assert rows(out, "s") == wanted
    assert len(runs(out, "s")) == 3


def _break_after(store: MlflowStore, calls: int) -> None:
    real, left = store.client.log_batch, [calls]

    def log_batch(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*arguments, **named)

    store.client.log_batch = log_batch


def test_two_logs_of_one_name_do_not_share_runs(out: Path, tmp_path: Path) -> None:
    """Two people run the same file against one server."""
    for place, moment in ((out / "a", 0.0), (out / "b", 3600.0)):
        writer = LogWriter(place / "thanos")
        writer.now += moment
        writer.opened()
        key = writer.asked(0)
        writer.finished(key, "complete", 1, {OBJECTIVE: 0.5})
        sync(place / "thanos", uri=f"sqlite:///{out / 'mlflow.db'}")
    found = runs(out, "thanos")
    assert len(found) == 4 and len({run.data.tags["raycon.log"] for run in found}) == 2
    assert len({run.data.tags.get("mlflow.parentRunId") for run in found}) == 3


def test_what_mlflow_refuses_is_said_and_does_not_block_the_rest(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MlflowStore(f"sqlite:///{out / 'mlflow.db'}", "s", out / "mlartifacts")
    store.open()
    store.find("log")
    store.write(Change("", "s", 1000, params={"a": "1"}))
    store.write(Change("", "s", 1000, params={"a": "2"}, points=[Point("loss", 0.5, 2000, 1)]))
    run = client(out).get_run(store.runs[""])
    assert run.data.params == {"a": "1"} and run.data.metrics == {"loss": 0.5}
    assert "MLflow refuses a part of s" in caplog.text


def test_the_experiment_can_be_named_by_the_environment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shared")
    write_sweep(out / "s", runs=1, epochs=1)
    sync(out / "s")
    assert [run.data.tags["raycon.sweep"] for run in runs(out, "shared")] == ["s", "s"]


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """A server that takes requests and never answers."""
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(30)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    ended.set()
    server.shutdown()
    server.server_close()


def test_a_tracker_that_is_down_costs_nothing_and_the_events_are_delivered_later(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = write_sweep(out / "s", runs=1, epochs=1)
    tracker = Tracker(out / "s", "http://user:hunter2@127.0.0.1:9", out)
    began = time.monotonic()
    tracker.start()
    assert time.monotonic() - began < 0.5
    while "the sweep goes on" not in caplog.text:
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    began = time.monotonic()
    left = tracker.close(1.0)
    assert time.monotonic() - began < 5
    assert left.events == len(writer.log.read()) and left.reason
    assert "hunter2" not in caplog.text + left.message("s")
    assert sync(out / "s") == left.events


@pytest.mark.slow
def test_a_required_tracker_that_hangs_is_given_up_within_15_seconds(out: Path, hanging_server: str) -> None:
    tracker = Tracker(out / "s", hanging_server, out, require=True)
    began = time.monotonic()
    with pytest.raises(RayconError, match="required but cannot be reached"):
        tracker.start()
    assert time.monotonic() - began < 15.5


def test_a_required_tracker_that_is_down_is_refused_at_once(out: Path) -> None:
    began = time.monotonic()
    with pytest.raises(RayconError, match="required but cannot be reached"):
        Tracker(out / "s", "http://127.0.0.1:9", out, require=True).start()
    assert time.monotonic() - began < 15.5
