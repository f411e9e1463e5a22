"""What a sweep must come to: the same driver and engine in one process, one run after the other, without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from raycon.cluster.here import run_here
from raycon.cluster.overhead import ACCURACY, FACTORY, idle_driver
from raycon.config import Sweep
from raycon.history import SweepHistory

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
    # How many workers share a run changes nothing of its outcome, which is what is compared.
    run_here(driver, replace(sweep, workers=1), factory=FACTORY, folder=folder)
    driver.close()
    return outcome(driver.history)
