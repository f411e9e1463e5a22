"""What a sweep must come to: the same driver and engine in one process, one run after the other, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raycon.cluster.engine import Engine
from raycon.cluster.overhead import ACCURACY, idle_driver, open_idle_run
from raycon.config import Sweep
from raycon.driver import Assignment
from raycon.history import SweepHistory
from raycon.runs import World

TRIAL: dict[str, Any] = {"training": {"epochs": 3}, "idle": {"steps": 3, "seconds": 0.01}}


def make_sweep(trials: int = 6, **settings: Any) -> Sweep:
    """A sweep over runs that do nothing."""
    return Sweep(**{"maximize": (ACCURACY,), "trials": trials, "lag": 1, **settings})


def outcome(history: SweepHistory) -> list[tuple[Any, ...]]:
    """All that must not depend on who ran the sweep, or how often it was interrupted."""
    return [
        (run.number, run.key, run.values, run.state, run.final_epoch, accuracies(run.epochs)) for run in history.runs
    ]


def accuracies(epochs: dict[int, dict[str, float]]) -> dict[int, float]:
    """The scores by epoch."""
    return {epoch: metrics[ACCURACY] for epoch, metrics in sorted(epochs.items())}


def expected(folder: Path, sweep: Sweep, trial: dict[str, Any], faults: dict[int, dict[str, str]] | None = None) -> Any:
    """The outcome of the sweep, run inline in `folder`."""
    driver = idle_driver(folder, sweep, trial, faults)
    driver.open()
    engine = Engine(open_idle_run, World())
    while isinstance(assignment := driver.next(), Assignment):
        driver.started(assignment.key, assignment.try_)
        report = engine.begin(assignment.plain())
        decision = "continue"
        while decision == "continue":
            report = report or engine.next()
            if report.kind == "scored":
                decision = driver.scored(assignment.key, report.epoch, report.metrics, report.checkpoint, report.done)
            elif report.kind == "ended":
                driver.ended(assignment.key, report.state or "failed", report.reason)
                decision = "stop"
            report = None
    driver.close()
    return outcome(driver.history)
