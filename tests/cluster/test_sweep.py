"""Sweeps on a real Ray, compared with the same sweep run inline."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from raycon.cluster.direct import train_workers
from raycon.cluster.overhead import ACCURACY, FACTORY, idle_driver
from raycon.cluster.search import run_sweep
from raycon.config import StopEarly, Sweep
from raycon.driver import Driver
from raycon.errors import InvalidFile, RayconError
from tests.cluster.inline import TRIAL, expected, make_sweep, outcome

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_cluster")]

HALF = {"cpu": 0.5}


def sweep_on_ray(
    folder: Path, sweep: Sweep, trial: dict[str, Any], faults: dict[int, dict[str, str]] | None = None, **options: Any
) -> Driver:
    driver = idle_driver(folder, sweep, trial, faults)
    driver.open()
    run_sweep(driver, sweep, factory=FACTORY, resources=HALF, folder=folder, **options)
    driver.close()
    return driver


@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (1, 2), (2, 1)])
def test_a_sweep_equals_the_inline_one(tmp_path: Path, workers: int, slots: int) -> None:
    sweep = make_sweep(workers=workers)
    driver = sweep_on_ray(tmp_path / "ray", sweep, TRIAL, slots=slots)
    assert outcome(driver.history) == expected(tmp_path / "inline", sweep, TRIAL)
    assert [run.state for run in driver.history.runs] == ["complete"] * 6
    assert all(len(run.tries) == 1 for run in driver.history.runs)
    assert not list((tmp_path / "ray").glob("tune*"))
    assert (tmp_path / "ray" / "runs" / driver.history.runs[5].key / "attempt-1" / "epoch-0003").is_dir()


def test_actors_are_reused(tmp_path: Path) -> None:
    driver = sweep_on_ray(tmp_path, make_sweep(trials=6), TRIAL, slots=1)
    assert len([process for process in driver.history.processes if process.role == "trial actor"]) == 1


def test_actors_of_slots_that_wait_are_kept(tmp_path: Path) -> None:
    sweep = make_sweep(trials=8, lag=2)
    driver = sweep_on_ray(tmp_path, sweep, TRIAL, {0: {"1": "slow", "2": "slow"}, 4: {"1": "slow"}}, slots=3)
    assert [run.state for run in driver.history.runs] == ["complete"] * 8
    assert len([process for process in driver.history.processes if process.role == "trial actor"]) <= 3


def test_early_stopping_equals_the_inline_one(tmp_path: Path) -> None:
    sweep = make_sweep(trials=9, stop_early=StopEarly(after=1, reduction=2))
    trial = {"training": {"epochs": 4}, "idle": {"steps": 2, "seconds": 0.01}}
    driver = sweep_on_ray(tmp_path / "ray", sweep, trial, slots=2)
    assert outcome(driver.history) == expected(tmp_path / "inline", sweep, trial)
    states = [run.state for run in driver.history.runs]
    assert "pruned" in states and "complete" in states


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_that_end_by_their_own_fault_are_not_retried(tmp_path: Path, workers: int) -> None:
    faults = {0: {"2": "diverged"}, 1: {"1": "memory"}, 2: {"3": "value"}}
    sweep = make_sweep(trials=4, workers=workers)
    driver = sweep_on_ray(tmp_path / "ray", sweep, TRIAL, faults, slots=1)
    assert [run.state for run in driver.history.runs] == ["diverged", "out_of_memory", "failed", "complete"]
    assert outcome(driver.history) == expected(tmp_path / "inline", sweep, TRIAL, faults)
    assert not any(run.losses for run in driver.history.runs)
    assert len([process for process in driver.history.processes if process.role == "trial actor"]) == 1


@pytest.mark.parametrize(("workers", "role"), [(1, "trial actor"), (2, "trial actor"), (2, "rank 1")])
def test_a_killed_process_costs_a_try_and_changes_no_result(tmp_path: Path, workers: int, role: str) -> None:
    sweep = make_sweep(trials=3, workers=workers)
    trial = {"training": {"epochs": 4}, "idle": {"steps": 5, "seconds": 0.1}}
    killer = Killer(role, after=2)
    driver = sweep_on_ray(tmp_path / "ray", sweep, trial, slots=1, observer=killer.watch(tmp_path / "ray"))
    assert killer.killed
    assert outcome(driver.history) == expected(tmp_path / "inline", sweep, trial)
    assert sum(len(run.losses) for run in driver.history.runs) == 1
    lost = next(run for run in driver.history.runs if run.losses)
    assert lost.tries == [(1, 1), (1, 2)]


class Killer:
    """An observer that kills, once, a process of the given role after the second scored epoch."""

    def __init__(self, role: str, after: int):
        self.role, self.after, self.killed = role, after, False
        self.driver: Driver | None = None
        self.folder = Path()

    def watch(self, folder: Path) -> Killer:
        self.folder = folder
        return self

    def on_event(self, event: dict[str, Any]) -> None:
        from raycon.history import read_sweep

        if event["kind"] == "scored" and event["epoch"] == self.after and not self.killed:
            self.killed = True
            process = [found for found in read_sweep(self.folder).processes if found.role == self.role][-1]
            psutil.Process(process.pid).kill()


def test_a_run_that_is_lost_too_often_fails(tmp_path: Path) -> None:
    class Always(Killer):
        def on_event(self, event: dict[str, Any]) -> None:
            self.killed = event["number"] > 0
            super().on_event(event)

    sweep = make_sweep(trials=2, retries=0, lag=0)
    trial = {"training": {"epochs": 4}, "idle": {"steps": 5, "seconds": 0.1}}
    driver = sweep_on_ray(tmp_path, sweep, trial, slots=1, observer=Always("trial actor", 2).watch(tmp_path))
    assert [run.state for run in driver.history.runs] == ["failed", "complete"]


def test_an_error_of_the_driver_ends_the_sweep(tmp_path: Path) -> None:
    sweep = make_sweep(trials=3, maximize=("validation/nearest_neighbours/accuracy",))
    with pytest.raises(RayconError, match="nearest_neighbours"):
        sweep_on_ray(tmp_path, sweep, TRIAL, slots=1)


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    sweep = make_sweep(trials=4)
    trial = {"training": {"epochs": 4}, "idle": {"steps": 5, "seconds": 0.1}}
    driver = idle_driver(tmp_path / "ray", sweep, trial)
    driver.open()

    class Interrupt:
        def on_event(self, event: dict[str, Any]) -> None:
            if event["kind"] == "scored" and event["number"] == 1 and event["epoch"] == 2:
                threading.Thread(target=lambda: signal.raise_signal(signal.SIGINT)).start()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(driver, sweep, factory=FACTORY, resources=HALF, slots=1, observer=Interrupt(), folder=tmp_path)
    assert time.monotonic() - started < 60
    driver.close()
    assert 0 < len(driver.history.runs) < 4
    driver = sweep_on_ray(tmp_path / "ray", sweep, trial, slots=1)
    assert outcome(driver.history) == expected(tmp_path / "inline", sweep, trial)
    assert not any(run.losses for run in driver.history.runs)


def test_a_finished_sweep_starts_nothing(tmp_path: Path) -> None:
    sweep = make_sweep(trials=2)
    sweep_on_ray(tmp_path, sweep, TRIAL, slots=1)
    written = (tmp_path / "events.jsonl").read_bytes()
    sweep_on_ray(tmp_path, sweep, TRIAL, slots=1)
    assert (tmp_path / "events.jsonl").read_bytes() == written


def test_too_small_a_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"2 CPU in the cluster, asked 2\.5"):
        sweep_on_ray(tmp_path, make_sweep(workers=5), TRIAL)


def test_direct_training_equals_a_trial(tmp_path: Path) -> None:
    assignment = {
        "key": "direct",
        "number": 0,
        "attempt": 1,
        "try": 1,
        "trial": TRIAL,
        "folder": str(tmp_path / "run"),
        "resume": None,
    }
    seen: list[dict[str, Any]] = []
    metrics = train_workers(assignment, 2, folder=tmp_path, factory=FACTORY, resources=HALF, on_report=seen.append)
    assert [report["epoch"] for report in seen if report["kind"] == "scored"] == [1, 2, 3]
    assert metrics[ACCURACY] == seen[-1]["metrics"][ACCURACY]
    assert not (tmp_path / "run" / ".ray-train").exists()
    broken = {**assignment, "trial": {**TRIAL, "idle": {"fault": {"2": "diverged"}}}, "folder": str(tmp_path / "two")}
    with pytest.raises(RayconError, match="diverged: the loss is not finite at epoch 2"):
        train_workers(broken, 2, folder=tmp_path, factory=FACTORY, resources=HALF)
