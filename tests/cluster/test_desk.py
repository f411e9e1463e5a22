"""What passes between Tune and the driver, without Ray: the desk with a real driver over runs that do nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raycon.cluster.desk import Desk
from raycon.cluster.overhead import ACCURACY, idle_driver
from raycon.cluster.search import DeskStopper
from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import EventLog
from raycon.mirror import FolderMirror
from tests.cluster.inline import TRIAL, make_sweep


def make_desk(folder: Path, **settings: Any) -> tuple[Desk, list[dict[str, Any]], list[str]]:
    sweep = make_sweep(**settings)
    driver = idle_driver(folder, sweep, TRIAL)
    driver.open()
    seen: list[dict[str, Any]] = []
    freed: list[str] = []

    class Watcher:
        def on_event(self, event: dict[str, Any]) -> None:
            seen.append(event)

    return Desk(driver, Watcher(), {"factory": "x"}, freed.append), seen, freed


def scored(epoch: int, done: bool = False, **more: Any) -> str:
    message = {"kind": "scored", "epoch": epoch, "metrics": {ACCURACY: 0.5}, "checkpoint": None, "done": done, **more}
    return json.dumps(message)


def test_asking_stops_where_the_driver_waits_and_goes_on_after_a_result(tmp_path: Path) -> None:
    desk, _, _ = make_desk(tmp_path, trials=3, lag=1)
    first = desk.ask("a")
    assert first is not None and first["assignment"]["number"] == 0 and first["slot"] == {"factory": "x"}
    assert desk.ask("b") is not None
    assert desk.ask("c") is None and not desk.finished
    desk.report("a", scored(1, done=True))
    desk.over("a")
    assert desk.error is None
    assert desk.ask("c") is not None
    for trial in ("b", "c"):
        desk.report(trial, scored(1, done=True))
        desk.over(trial)
    assert desk.ask("d") is None and desk.finished


def test_a_report_that_comes_twice_is_taken_in_once(tmp_path: Path) -> None:
    desk, seen, _ = make_desk(tmp_path)
    desk.ask("a")
    assert desk.report("a", scored(1)) == "continue"
    desk.report("a", scored(1))
    assert [event["epoch"] for event in seen if event["kind"] == "scored"] == [1]


def test_the_last_report_of_a_lost_actor_is_told_once(tmp_path: Path) -> None:
    desk, seen, _ = make_desk(tmp_path)
    desk.ask("a")
    desk.report("a", scored(1))
    desk.lost("a", "killed", requeue=False)
    desk.report("a", scored(1))
    desk.report("a", scored(2))
    assert [event["epoch"] for event in seen if event["kind"] == "scored"] == [1, 2]


def test_the_observer_hears_of_every_start_and_every_end(tmp_path: Path) -> None:
    desk, seen, _ = make_desk(tmp_path, retries=0)
    for trial in ("a", "b"):
        desk.ask(trial)
        desk.started(trial, "actor")
    desk.report("a", scored(1))
    desk.report("a", scored(2, done=True))
    desk.over("a")
    desk.lost("b", "killed", requeue=True)
    assert [(event["kind"], event["number"], event.get("state"), event.get("epoch")) for event in seen] == [
        ("started", 0, None, 0),
        ("started", 1, None, 0),
        ("scored", 0, None, 1),
        ("scored", 0, None, 2),
        ("ended", 0, "complete", 2),
        ("lost", 1, None, None),
        ("ended", 1, "failed", 0),
    ]


def test_a_lost_trial_gets_the_next_try_and_late_reports_of_the_lost_one_change_nothing(tmp_path: Path) -> None:
    desk, seen, _ = make_desk(tmp_path)
    desk.ask("a")
    desk.report("a", scored(1))
    late = desk.assignments["a"]
    config = desk.lost("a", "killed", requeue=False)
    assert config is not None and config["assignment"]["try"] == 2
    assert desk.driver.scored(late.key, 2, {ACCURACY: 9.0}, attempt_try=late.try_) == "stop"
    assert list(desk.driver.history.runs[0].epochs) == [1]
    assert seen[-1] == {"kind": "lost", "key": late.key, "number": 0, "reason": "killed"}


def test_a_trial_that_tune_gave_up_comes_back_under_another_one(tmp_path: Path) -> None:
    desk, _, _ = make_desk(tmp_path)
    desk.ask("a")
    assert desk.lost("a", "given up", requeue=True) is None
    again = desk.ask("b")
    assert again is not None and again["assignment"]["number"] == 0 and again["assignment"]["try"] == 2


def test_a_worker_group_without_its_leader_is_freed_once_by_actor(tmp_path: Path) -> None:
    desk, _, freed = make_desk(tmp_path)
    desk.ask("a")
    desk.started("a", "actor-1")
    desk.report("a", scored(1, done=True, actor="actor-1", placement_group="pg-1"))
    desk.over("a")
    desk.ask("b")
    desk.started("b", "actor-1")
    desk.leaderless("b")
    desk.leaderless("b")
    assert freed == ["pg-1"]


def test_a_run_whose_end_does_not_fit_the_log_is_run_again(tmp_path: Path) -> None:
    desk, _, _ = make_desk(tmp_path)
    desk.ask("a")
    desk.report("a", scored(3, done=True))
    desk.over("a")
    again = desk.ask("b")
    assert again is not None and again["assignment"]["number"] == 0 and again["assignment"]["try"] == 2


def test_processes_are_recorded(tmp_path: Path) -> None:
    desk, seen, _ = make_desk(tmp_path)
    desk.ask("a")
    desk.report("a", scored(1, processes=[{"pid": 77, "created": 1.5, "role": "rank 0", "host": "node"}]))
    assert (77, 1.5, "rank 0", "node") in [
        (process.pid, process.created, process.role, process.host) for process in desk.driver.history.processes
    ]
    assert "processes" not in seen[-1]


def test_an_error_of_the_driver_halts_everything_and_is_kept(tmp_path: Path) -> None:
    desk, _, _ = make_desk(tmp_path)
    desk.ask("a")
    nothing = json.dumps({"kind": "scored", "epoch": 1, "metrics": {}, "checkpoint": None, "done": True})
    assert desk.report("a", nothing) == "stop"
    assert isinstance(desk.error, RayconError) and ACCURACY in str(desk.error)
    assert desk.halted and desk.ask("b") is None
    assert desk.lost("a", "stopped", requeue=False) is None
    assert not desk.driver.history.runs[0].losses


def test_the_copy_of_the_log_catches_up_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, _, _ = make_desk(tmp_path / "out")
    storage, now = FolderMirror(RealDisk(), tmp_path / "storage"), [1000.0]
    log = EventLog(RealDisk(), desk.driver.log.path, storage, clock=lambda: now[0])
    log.open()
    log.claim(attempt=2)
    desk.driver.log = log
    watched: list[int] = []
    admission = SimpleNamespace(
        plan=SimpleNamespace(worker=SimpleNamespace(workers=1)),
        watch=lambda under_way, at_work: watched.append(at_work),
    )
    stopper = DeskStopper(desk, admission)  # type: ignore[arg-type]

    def fail(*arguments: Any) -> bool:
        raise OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "extend", fail)
        log.append("lost", key="a")
        log.sync()
    assert log.mirror_error is not None
    now[0] += 10.0
    assert not stopper.stop_all() and watched == [0]
    assert storage.read(log.path.name) == log.path.read_bytes()
    log.append("lost", key="b")
    with monkeypatch.context() as patched:
        patched.setattr(storage, "extend", fail)
        log.sync()
    newer = EventLog(RealDisk(), tmp_path / "new" / log.path.name, storage)
    newer.open()
    newer.claim(attempt=3)
    now[0] += 10.0
    assert stopper.stop_all() and desk.halted and isinstance(desk.error, Refused)


def test_an_error_of_the_observer_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk, _, _ = make_desk(tmp_path)

    class Broken:
        def on_event(self, event: dict[str, Any]) -> None:
            raise ZeroDivisionError("in the table")

    desk.observer = Broken()
    desk.ask("a")
    assert desk.report("a", scored(1)) == "continue"
    desk.report("a", scored(2, done=True))
    assert desk.error is None and not desk.halted
    assert list(desk.driver.history.runs[0].epochs) == [1, 2] and desk.ask("b") is not None
    assert [record.getMessage().count("ZeroDivisionError: in the table") for record in caplog.records] == [1]


@pytest.mark.parametrize("state", ["diverged", "out_of_memory", "failed"])
def test_a_run_that_ends_by_itself(tmp_path: Path, state: str) -> None:
    desk, _, _ = make_desk(tmp_path)
    desk.ask("a")
    message = {"kind": "ended", "epoch": 0, "state": state, "reason": "it did", "done": True}
    assert desk.report("a", json.dumps(message)) == "stop"
    assert desk.driver.history.runs[0].state == state
