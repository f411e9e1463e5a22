"""A storage that fails: no run ends for it, the sweep waits for it and goes on, or stops so that it can be gone on
with."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raycon.checkpoint_storage import StorageLost, on_storage, written_to
from raycon.checkpoints import write_checkpoint
from raycon.cluster import outage
from raycon.cluster.desk import Desk
from raycon.cluster.engine import STORAGE_LOST, Report, ended, fault_of
from raycon.cluster.here import run_here
from raycon.cluster.outage import HANGS, LEAST, LOOK_EVERY, Outage, problem_with
from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.config import Sweep
from raycon.driver import Driver
from raycon.errors import LimitHit, RayconError
from tests.cluster.inline import TRIAL, expected, make_sweep
from tests.cluster.inline import outcome as outcome_of
from tests.waiting import wait_until


class Storage:
    """A storage with a clock: what a look at it finds, and how often it was looked at."""

    def __init__(self) -> None:
        self.now, self.problem, self.looks, self.blocked = 100.0, "disk full", 0, False

    def look(self, place: str) -> str:
        self.looks += 1
        while self.blocked:
            time.sleep(0.01)
        return self.problem

    def outage(self, limit: float = 60.0) -> Outage:
        return Outage("/shared", limit, look=self.look, clock=lambda: self.now)

    def after(self, seconds: float, outage: Outage) -> bool:
        """Whether it still lasts so much later; a look that has begun has ended then."""
        self.now += seconds
        lasts = outage.lasts()
        if outage.found is not None and not self.blocked:
            wait_until(lambda: bool(outage.found), 5, "the desk", every=0.005)
        return lasts


def test_nothing_is_waited_for_before_a_loss() -> None:
    storage = Storage()
    assert not storage.outage().lasts() and storage.looks == 0


def test_the_wait_ends_when_the_storage_answers_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage()
    waiting = storage.outage(limit=600.0)
    waiting.lost("a", 2, "no space")
    assert storage.after(0, waiting) and storage.after(1, waiting) and storage.after(1, waiting)
    assert storage.looks == 1  # the next look comes later
    assert storage.after(LOOK_EVERY, waiting)
    storage.problem = ""
    assert storage.after(1, waiting) and storage.looks == 2
    assert storage.after(LOOK_EVERY, waiting) and not storage.after(0, waiting)
    assert storage.looks == 3 and not waiting.lasts()
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("waiting for the storage (10 minutes more at most): /shared: disk full")
    assert told[-1].startswith("the storage answers again after")


def test_the_wait_has_a_limit_and_so_has_one_for_a_storage_that_hangs() -> None:
    storage = Storage()
    waiting = storage.outage()
    waiting.lost("a", 2, "no space")
    with pytest.raises(LimitHit, match=r"/shared: disk full for .* --wait allows longer") as told:
        for _ in range(100):
            storage.after(1, waiting)
    assert told.value.exit_code == 4 and 160 <= storage.now < 163
    storage.blocked = True
    hanging = storage.outage(limit=0.0)
    hanging.lost("a", 2, "no space")
    assert storage.after(0, hanging) and storage.after(HANGS, hanging)
    with pytest.raises(LimitHit, match="no answer"):
        storage.after(1, hanging)
    storage.blocked = False


def test_a_run_that_is_lost_again_and_again_although_the_storage_answers_is_held_back_and_given_up() -> None:
    storage = Storage()
    storage.problem = ""
    waiting = storage.outage(limit=100.0)
    pauses = []
    with pytest.raises(LimitHit, match=r"run a was lost .* times after epoch 2: no space"):
        for _ in range(50):
            begun = storage.now
            waiting.lost("a", 2, "no space")
            while storage.after(0.5, waiting):
                pass
            pauses.append(storage.now - begun)
    assert pauses[0] <= 1.0 and pauses[:4] == sorted(pauses[:4]) and pauses[3] > 15 and len(pauses) >= LEAST


def test_a_scored_epoch_makes_up_for_earlier_losses() -> None:
    storage = Storage()
    waiting = storage.outage(limit=0.0)
    for epoch in range(20):
        storage.now += 1000
        waiting.lost("a", epoch, "no space")


def test_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    assert problem_with(str(tmp_path / "new")) == "" and not list((tmp_path / "new").iterdir())
    (tmp_path / "file").write_text("")
    assert problem_with(str(tmp_path / "file")) == "File exists"


def test_only_what_comes_from_the_storage_is_its_loss(tmp_path: Path) -> None:
    class SafetensorError(Exception):
        """As that of the package."""

    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(StorageLost, match="os error 28") as lost, written_to(str(tmp_path)):
        raise full
    report = fault_of(lost.value, 2)
    assert report is not None and report.state == STORAGE_LOST and StorageLost.told_in(report.reason or "")
    assert fault_of(OSError("the data"), 1) is None
    with pytest.raises(OSError, match="node's own") as own, on_storage("s3://bucket/x"):
        raise OSError(28, "node's own")
    assert not isinstance(own.value, StorageLost)
    with pytest.raises(SafetensorError), written_to(str(tmp_path)):
        raise SafetensorError("a tensor of no known type")


def test_a_checkpoint_that_cannot_be_written_is_lost_to_the_storage(tmp_path: Path) -> None:
    import torch

    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StorageLost), written_to(str(tmp_path / "runs" / "attempt-1" / "epoch-0001")) as folder:
        write_checkpoint(folder, {"weights": torch.zeros(1)}, {})


def test_a_worker_group_loses_its_run_to_the_storage_whatever_that_did_to_the_other_ranks() -> None:
    from raycon.cluster.workers import GroupLost, GroupSize, Reply, WorkerGroup

    lost, failed = Reply(ended(STORAGE_LOST, "StorageLost: x")), Reply(ended("failed", "y"))
    scored, fault = Reply(Report("scored", 1)), Reply(fault="rank 1: RuntimeError: Connection closed by peer")

    def told(*replies: Reply) -> tuple[Any, bool]:
        """The state of the report, and whether the group goes on."""
        group = WorkerGroup("none", GroupSize(2), "none")
        given_up: list[bool] = []
        asked = SimpleNamespace(exchange=SimpleNamespace(remote=lambda *given: replies))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(group, "mailbox", asked)
            patch.setattr(group, "wait", lambda answer, patience: list(answer))
            patch.setattr(group, "abandon", lambda: given_up.append(True))
            report = group.command("next", 1)
        return (report.state if report else None), not given_up

    assert told(lost, lost) == (STORAGE_LOST, True)
    for others in ((lost, scored), (lost,), (fault, lost), (failed, lost)):
        state, goes_on = told(*others)
        assert state == STORAGE_LOST and goes_on == (others == (failed, lost))
    with pytest.raises(GroupLost, match="Connection closed"):
        told(fault, failed)


def make_driver(folder: Path, sweep: Sweep) -> Driver:
    """Its storage is beside the log."""
    driver = idle_driver(folder / "log", sweep, TRIAL)
    driver.storage = str(folder / "storage")
    driver.open()
    return driver


def test_a_sweep_ends_unfinished_at_the_limit_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "LOOK_EVERY", 0.1)
    sweep, blocked = make_sweep(3, retries=0), tmp_path / "storage"
    blocked.write_text("no folder")
    driver = make_driver(tmp_path, sweep)
    with pytest.raises(LimitHit, match="File exists"):
        run_here(driver, sweep, factory=FACTORY, folder=tmp_path, wait_minutes=0.01)
    driver.close()
    assert driver.history.counts() == {"unfinished": 1} and driver.history.runs[0].storage_losses == 1
    driver = make_driver(tmp_path, sweep)
    threading.Timer(1.0, blocked.unlink).start()
    run_here(driver, sweep, factory=FACTORY, folder=tmp_path)
    driver.close()
    assert outcome_of(driver.history) == expected(tmp_path / "whole", sweep, TRIAL)
    assert [run.storage_losses for run in driver.history.runs] == [2, 0, 0]


def test_what_tune_itself_loses_to_the_storage_uses_up_no_retry(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, make_sweep(3, retries=0))
    desk = Desk(driver, None, {}, lambda group: None)
    assert desk.ask("a") is not None
    desk.give_back("OSError: disk full", storage=True)
    assert driver.history.counts() == {"unfinished": 1} and not desk.assignments
    assert desk.ask("b") is None and not desk.finished
    wait_until(lambda: desk.ask("b") is not None, 5, "the desk", every=0.005)
    desk.give_back("killed")
    assert driver.history.counts() == {"failed": 1}


def test_tune_is_run_anew_after_it_failed_on_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raycon.cluster import search

    sweep = make_sweep(1, retries=1)
    driver = make_driver(tmp_path, sweep)
    desk, places = Desk(driver, None, {}, lambda group: None), list[str]()

    def tune_once(desk: Desk, sweep: Sweep, admission: Any, storage: str) -> None:
        places.append(storage)
        wait_until(lambda: desk.ask(f"trial-{len(places)}") is not None, 5, "the desk", every=0.005)
        raise OSError("disk full")

    monkeypatch.setattr(search, "tune_once", tune_once)
    with pytest.raises(RayconError, match=r"Ray Tune failed: OSError: disk full. What was done is kept"):
        search.tune_until_done(desk, sweep, SimpleNamespace(), str(tmp_path / "tune"))  # type: ignore[arg-type]
    assert places == [str(tmp_path / "tune")] * 2
    assert driver.history.counts() == {"unfinished": 1} and driver.history.runs[0].storage_losses == 2


def test_a_run_that_says_it_was_lost_to_the_storage_is_handed_out_again(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, make_sweep(1, retries=0))
    desk = Desk(driver, None, {}, lambda group: None)
    desk.ask("a")
    desk.started("a", "actor")
    told = json.dumps({"key": "x", **ended(STORAGE_LOST, "StorageLost: disk full").plain()})
    assert desk.report("a", told) == "stop"
    desk.over("a")
    assert not desk.assignments and not desk.actors and driver.history.runs[0].losses == ["StorageLost: disk full"]
    wait_until(lambda: desk.ask("b") is not None, 5, "the desk", every=0.005)
    assert desk.assignments["b"].try_ == 2


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_on_ray_waits_for_its_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from raycon.cluster.search import run_sweep

    monkeypatch.setattr(outage, "LOOK_EVERY", 1.0)
    monkeypatch.setattr(outage, "FIRST_WORD", 0.0)
    sweep = make_sweep(3, retries=0)
    driver = make_driver(tmp_path, sweep)
    (tmp_path / "storage").mkdir()
    blocked = tmp_path / "storage" / "runs"
    blocked.write_text("in the way")

    class Mender:
        losses = 0

        def on_event(self, event: dict[str, Any]) -> None:
            self.losses += event["kind"] == "lost"
            if self.losses == 3 and blocked.is_file():
                blocked.unlink()

    with caplog.at_level(logging.WARNING, "raycon"):
        run_sweep(driver, sweep, factory=FACTORY, resources={"cpu": 1}, observer=Mender(), folder=tmp_path)
    driver.close()
    assert outcome_of(driver.history) == expected(tmp_path / "whole", sweep, TRIAL)
    assert sum(run.storage_losses for run in driver.history.runs) >= 3
    assert any("waiting for the storage" in record.getMessage() for record in caplog.records)
