"""The tracker against a store in memory: nothing is lost or doubled, whatever fails, and a sweep never notices."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from raycon.errors import RayconError
from raycon.events import Event, encode
from raycon.history import RunRecord, read_sweep
from raycon.reports import report
from raycon.settings import Settings
from raycon.tracking import Figures, Tracker, resolve_uri, sync
from raycon.tracking import tracker as tracking
from raycon.tracking.records import metric_name, parameters
from raycon.tracking.replay import Replay
from raycon.tracking.tail import CURSOR_NAME, Cursor, LogTail
from tests.tracking.memory_store import MemoryStore, Unreachable
from tests.tracking.synthetic_log import OBJECTIVE, LogWriter, trial, write_sweep
from tests.waiting import wait_until

FIGURES = Figures(
    lambda run: f"figure of {run.key}".encode(),
    lambda history: f"figure of {sum(run.finished for run in history.runs)} runs".encode(),
)


def replay(folder: Path, store: MemoryStore, **options: Any) -> Replay:
    return Replay(folder, store, "here", FIGURES, **options)


def deliver(carrier: Replay) -> None:
    """Everything that is in the log, one batch for each piece that is read."""
    carrier.store.open()
    carrier.find()
    while carrier.pull():
        carrier.push()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read a few lines at a time, so that a sweep takes many batches."""
    whole = LogTail.read
    monkeypatch.setattr(LogTail, "read", lambda self, chunk=0: whole(self, min(chunk or 2000, 2000)))


def expected(folder: Path) -> tuple[Any, ...]:
    store = MemoryStore()
    deliver(replay(folder, store, use_cursor=False))
    return store.seen()


@pytest.mark.usefixtures("small_chunks")
def test_a_replay_from_the_start_changes_nothing(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s")
    store = MemoryStore()
    deliver(replay(tmp_path / "s", store))
    before, sent = [dict(part) if isinstance(part, dict) else set(part) for part in store.seen()], store.rows_sent
    deliver(replay(tmp_path / "s", store, use_cursor=False))
    assert list(store.seen()) == before
    assert store.rows_sent == 2 * sent == 2 * len(store.rows)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_crash_at_any_step_loses_and_doubles_nothing(tmp_path: Path, every: int) -> None:
    """The driver dies at step n and starts anew, with or without its cursor, n over the steps of the delivery."""
    write_sweep(tmp_path / "s", runs=4, epochs=3)
    want, smooth = expected(tmp_path / "s"), MemoryStore()
    deliver(replay(tmp_path / "s", smooth, use_cursor=False))
    assert smooth.steps > 60
    for crash in range(1, smooth.steps + 1, every):
        (tmp_path / "s" / CURSOR_NAME).unlink(missing_ok=True)
        store = MemoryStore()
        store.fails_at = {crash}
        with pytest.raises(Unreachable):
            deliver(replay(tmp_path / "s", store))
        if crash % 2:
            (tmp_path / "s" / CURSOR_NAME).unlink(missing_ok=True)
        deliver(replay(tmp_path / "s", store))
        assert store.seen() == want, f"crash at step {crash}"


@pytest.mark.usefixtures("small_chunks")
def test_the_cursor_saves_work_and_is_dropped_where_it_does_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    writer = write_sweep(folder)
    store = MemoryStore()
    deliver(replay(folder, store))
    sent = store.rows_sent
    deliver(replay(folder, store))
    assert store.rows_sent == sent
    writer.opened(2)
    key = writer.asked(8)
    writer.scored(key, 1, {OBJECTIVE: 0.5})
    deliver(replay(folder, store))
    assert store.rows_sent == sent + 1
    assert store.seen() == expected(folder)
    emptied = MemoryStore()
    deliver(replay(folder, emptied))
    assert emptied.seen() == expected(folder)


def test_a_log_that_lost_its_end_is_delivered_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    writer = LogWriter(folder)
    writer.opened()
    keys = [writer.asked(number) for number in range(3)]
    store = MemoryStore()
    deliver(replay(folder, store))
    whole = (folder / "events.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join(lines[:-2]))
    carrier = replay(folder, store)
    deliver(carrier)
    assert carrier.delivered == len(lines) - 2 and carrier.waiting() == 0
    assert set(store.made) == {"", *keys}
    (folder / "events.jsonl").write_bytes(b"".join(lines[:2]))
    carrier.pull()
    assert not carrier.found
    deliver(carrier)
    assert carrier.delivered == 2


def test_a_torn_last_line_waits_and_an_unreadable_one_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = [Event(number, 1.0, "closed") for number in range(3)]
    first, second, third = (encode(event, 0) for event in events)
    path.write_bytes(first + second[:20])
    tail = LogTail(path)
    assert [line.event for line in tail.read()] == events[:1]
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(second[20:])
    assert [line.event for line in tail.read(1)] == events[1:2]
    # What follows a broken line is cut off with it when the driver opens the log again.
    path.write_bytes(first + second.replace(b"closed", b"opened") + third)
    assert [line.event for line in LogTail(path).read()] == [events[0], None, None]


def test_what_a_sweep_looks_like(tmp_path: Path) -> None:
    writer = write_sweep(tmp_path / "thanos")
    store = MemoryStore()
    deliver(replay(tmp_path / "thanos", store))
    parent = store.made[""]
    states = [store.tags[store.made[key], "raycon.state"] for key in sorted(store.made) if key]
    assert states == ["complete", "complete", "pruned", "complete", "complete", "diverged", "pruned", "complete"]
    status = [store.status[store.made[key]] for key in sorted(store.made)]
    assert status == [*["FINISHED"] * 6, "FAILED", *["FINISHED"] * 2]
    finished = {step: value for run, name, _, step, value in store.rows if run == parent and name == "runs/finished"}
    assert sorted(finished) == [*range(1, 9)] and finished[8] == 7
    best = [value for run, name, _, step, value in store.rows if run == parent and name == f"best/{OBJECTIVE}"]
    final = max(value for _, name, _, step, value in store.rows if name == OBJECTIVE and step == 8)
    assert max(best) == final
    assert store.tags[parent, "raycon.best"] in store.made
    first = store.made[min(key for key in store.made if key)]
    temperature = float(store.params[first, "objective.spread.temperature"])
    assert store.tags[first, "raycon.version.torch"] == store.tags[parent, "raycon.version.torch"] == "2.14.1"
    assert 10 ** float(store.params[first, "objective.spread.log10_temperature"]) == pytest.approx(temperature)
    assert "dataset: fashion_mnist" in str(store.files[first, "config.yaml"])
    assert store.tags[first, "mlflow.source.git.commit"] == store.tags[parent, "mlflow.source.git.commit"] == "c" * 40
    assert (first, "raycon.version.commit") not in store.tags
    assert store.files[first, "figure.png"].decode().startswith("figure of 0000")  # type: ignore[union-attr]
    assert store.files[parent, "figure.png"] == b"figure of 8 runs"
    history = read_sweep(tmp_path / "thanos")
    assert store.tags[parent, "raycon.best"] == getattr(history.best(), "key", None)
    assert writer.log.read()[-1].kind == "closed"


def test_values_that_are_not_finite_are_named_but_not_sent(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "s")
    writer.opened()
    key = writer.asked(0)
    writer.scored(key, 1, {OBJECTIVE: 0.5, "train/objective/total": "inf"})
    writer.scored(key, 2, {OBJECTIVE: "nan"})
    writer.finished(key, "diverged", 1, {OBJECTIVE: 0.5}, "the loss is not finite at epoch 2; token=abc")
    store = MemoryStore()
    deliver(replay(tmp_path / "s", store))
    run = store.made[key]
    assert {(name, step) for r, name, _, step, _ in store.rows if r == run} == {
        (OBJECTIVE, 1),
        (f"best/{OBJECTIVE}", 0),
    }
    assert store.tags[run, "raycon.not_finite"] == f"{OBJECTIVE} at epoch 2"
    assert store.status[run] == "FAILED"
    assert store.tags[run, "raycon.reason"].endswith("token=***")


def test_an_interrupted_sweep_is_killed_and_lives_again(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "s")
    writer.opened()
    key = writer.asked(0)
    writer.log.append("closed")
    store = MemoryStore()
    deliver(replay(tmp_path / "s", store))
    assert store.status == {store.made[""]: "KILLED", store.made[key]: "KILLED"}
    writer.opened(2)
    writer.log.append("started", key=key, attempt=2, **{"try": 2})
    deliver(replay(tmp_path / "s", store))
    assert store.status == {store.made[""]: "RUNNING", store.made[key]: "RUNNING"}
    assert store.tags[store.made[""], "raycon.attempts"] == "2"


def test_a_figure_that_fails_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sweep(tmp_path / "s", runs=2)
    store = MemoryStore()
    broken = Figures(lambda run: bytes(1 // 0), lambda history: bytes(1 // 0))
    deliver(Replay(tmp_path / "s", store, "here", broken))
    assert not any(name == "figure.png" for _, name in store.files)
    assert "no figure of 0000" in caplog.text and "no figure of s:" in caplog.text


def test_parameters_hide_secrets_skip_nothing_active_and_stay_short() -> None:
    values = {"objective.spread.temperature": 0.01, "objective.spread.kind": "x" * 9000, "data.api_key": "abc"}
    run = RunRecord(0, "k", values, {**trial({}), "encoder": {"name": "vit", "width": None}}, {}, 0.0)
    params = parameters(run, frozenset({"objective.spread.temperature", "objective.absent"}))
    assert params["objective.spread.log10_temperature"] == "-2.0"
    assert params["data.api_key"] == "***"
    assert len(params["objective.spread.kind"]) == 6000
    assert params["encoder.name"] == "vit" and "encoder.width" not in params
    assert params["training.epochs"] == "8" and params["objective.supcon.weight"] == "1.0"


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("a@1", "a_1"), ("loss[0].w", "loss_0_.w"), ("../x", "x"), ("a//b", "a/b"), ("a" * 300, "a" * 250)],
)
def test_metric_names(name: str, accepted: str) -> None:
    assert metric_name(name) == accepted


def with_store(folder: Path, store: MemoryStore) -> Tracker:
    """A tracker whose store is in memory; no mlflow is imported."""
    tracker = Tracker(folder, "memory", folder.parent)
    tracker.store = tracker.replay.store = store  # type: ignore[assignment]
    return tracker


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_WAIT", "LONGEST_WAIT", "POLL_SECONDS"):
        monkeypatch.setattr(tracking, name, 0.02)


@pytest.mark.usefixtures("quick")
def test_a_log_that_grows_while_the_store_comes_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, store, draw = tmp_path / "s", MemoryStore(), random.Random(1)
    store.down = True
    tracker = with_store(folder, store)
    tracker.start()
    writer = LogWriter(folder)
    writer.opened()
    for number in range(12):
        key = writer.asked(number)
        store.down = draw.random() < 0.5
        writer.scored(key, 1, {OBJECTIVE: 0.5})
        writer.finished(key, "complete", 1, {OBJECTIVE: 0.5})
        time.sleep(0.03)
    store.down = False
    assert tracker.close(10).events == 0
    assert store.seen() == (*expected(folder)[:5], store.files)
    assert "the sweep goes on" in caplog.text
    assert Cursor.load(folder) is not None


@pytest.mark.usefixtures("quick")
def test_an_outage_is_said_once_and_what_is_left_at_the_end_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, store = tmp_path / "s", MemoryStore()
    writer = LogWriter(folder)
    writer.opened()
    tracker = with_store(folder, store)
    tracker.start()
    wait_until(lambda: tracker.replay.found, 10, "the tracker", every=0.01)
    store.down = True
    for number in range(3):
        writer.finished(writer.asked(number), "failed", 0, {}, "no reason")
    wait_until(lambda: store.steps > 20, 10, "the tracker", every=0.01)
    began = time.monotonic()
    left = tracker.close(0.3)
    assert time.monotonic() - began < 2
    assert left.events == len(writer.log.read()) - tracker.replay.delivered >= 9
    assert "raycon sync s" in left.message("s") and "raycon sync s" in caplog.text
    assert caplog.text.count("the sweep goes on") == 1
    store.down = False
    deliver(replay(folder, store))
    assert store.seen()[:5] == expected(folder)[:5]


@pytest.mark.usefixtures("quick")
def test_a_required_tracker_that_is_away_stops_the_start(tmp_path: Path) -> None:
    store = MemoryStore()
    store.down = True
    tracker = with_store(tmp_path / "s", store)
    tracker.require = True
    with pytest.raises(RayconError, match="required but cannot be reached"):
        tracker.start()
    wait_until(
        lambda: not any(thread.name == "raycon-tracking" for thread in threading.enumerate()),
        10,
        "the tracker",
        every=0.01,
    )


@pytest.mark.usefixtures("quick")
def test_a_tracker_that_was_never_started_or_has_no_log_can_be_closed(tmp_path: Path) -> None:
    assert with_store(tmp_path / "s", MemoryStore()).close(0.1).events == 0
    tracker = with_store(tmp_path / "s", MemoryStore())
    tracker.start()
    assert tracker.close(5).events == 0


def test_the_address_is_the_given_one_then_the_environments_then_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert resolve_uri(None, tmp_path) == "http://elsewhere"
    assert resolve_uri("http://given", tmp_path) == "http://given"


def test_sync_needs_a_log(tmp_path: Path) -> None:
    with pytest.raises(RayconError, match="no event log"):
        sync(tmp_path / "s")


def with_test_scores(folder: Path) -> str:
    """A log of two runs whose test set was opened after its driver had ended; the key of the run that has scores."""
    writer = write_sweep(folder, runs=2, epochs=2)
    key = read_sweep(folder).runs[0].key
    writer.log.append("test_opened", runs=[key])
    writer.log.append("test_scored", key=key, metrics={"test/linear_probe/accuracy": 0.75})
    return key


def test_test_scores_stand_under_report_and_openings_are_counted(tmp_path: Path) -> None:
    key, store = with_test_scores(tmp_path / "s"), MemoryStore()
    deliver(replay(tmp_path / "s", store))
    found = {(run, name, step): value for run, name, _, step, value in store.rows if "test" in name}
    assert found == {
        (store.made[key], "report/test/linear_probe/accuracy", 2): 0.75,
        (store.made[""], "report/test_openings", 1): 1.0,
    }
    assert set(store.status.values()) == {"FINISHED"}


def test_equal_runs_leave_the_lower_number_best(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "s")
    writer.opened()
    keys = [writer.asked(number) for number in range(2)]
    for key in reversed(keys):
        writer.scored(key, 1, {OBJECTIVE: 0.5})
        writer.finished(key, "complete", 1, {OBJECTIVE: 0.5})
    store = MemoryStore()
    deliver(replay(tmp_path / "s", store))
    assert store.tags[store.made[""], "raycon.best"] == keys[0]


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(("tracking", "delivered"), [(None, True), ("http://there", True), ("off", False)])
def test_a_report_delivers_the_test_scores_after_the_tracker_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking: str | None, delivered: bool
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("raycon.tracking.sync", lambda *call, **named: calls.append((*call[:3], named)))
    repetition = a_repetition(tmp_path)
    Cursor("store", "log", 1, "digest", "1", "parent").save(repetition)
    report("s", settings=Settings(tmp_path, tracking=tracking), test=True)
    assert calls == ([(repetition, tracking, tmp_path, {"again": False})] if delivered else [])


@pytest.mark.usefixtures("sealed")
def test_a_repetition_that_was_never_tracked_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.tracking.sync", lambda *call, **named: pytest.fail("was delivered"))
    a_repetition(tmp_path)
    report("s", settings=Settings(tmp_path), test=True)


@pytest.mark.usefixtures("sealed")
def test_a_tracker_that_is_away_costs_a_report_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*call: Any, **named: Any) -> None:
        raise RayconError("tracker http://there: no answer")

    monkeypatch.setattr("raycon.tracking.sync", away)
    repetition = a_repetition(tmp_path)
    assert report("s", settings=Settings(tmp_path, tracking="http://there"), test=True) == tmp_path / "page"
    (record,) = [record for record in caplog.records if record.name == "raycon"]
    assert f"no answer; the test scores are in the log, `raycon sync {repetition.name}`" in record.getMessage()


def a_repetition(out: Path) -> Path:
    """The folders of a sweep `s` and of a repetition of it, which is returned."""
    write_sweep(out / "s", runs=1, epochs=1)
    folder = out / "s-repeat-12345678"
    write_sweep(folder, runs=1, epochs=1)
    (folder / "sweep.json").write_text(json.dumps({"canonical": {"repeat_of": "s"}}))
    return folder


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither test scores are computed nor pictures and pages written."""
    monkeypatch.setattr("raycon.reporting.finalists.finalist_pictures", lambda folder, repeats, embedding: [])
    monkeypatch.setattr("raycon.sealed.open_test_set", lambda folder, on_run: 1)
    monkeypatch.setattr(
        "raycon.reporting.report.write_report", lambda folder, repeats, pictures: folder.parent / "page"
    )
