"""What a trial costs besides its own work: `python -m raycon.cluster.overhead --workers 2 --trials 10`.

The runs do nothing, so the wall time from one trial's end to the next one's, less the time inside the generator, is
overhead. The first trial is left out: it pays for the start of processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raycon.checkpoints import is_sound
from raycon.cluster.search import run_sweep
from raycon.config import Sweep
from raycon.disk import RealDisk
from raycon.driver import Driver
from raycon.errors import Diverged
from raycon.events import EventLog
from raycon.runs import Progress, Scored, World

ACCURACY = "validation/linear_probe/accuracy"
FACTORY = "raycon.cluster.overhead:open_idle_run"


class IdleRun:
    """A run without any learning: its scores are a recurrence on its state, so a run that is resumed wrongly shows.

    `trial` may hold {'idle': {'rate', 'steps', 'seconds', 'fault'}} besides training.epochs: the factor of the
    recurrence, the yields of an epoch, the sleep before each yield, and {epoch: a fault that `meet` knows}.
    """

    def __init__(self, assignment: dict[str, Any], world: World):
        self.trial, self.world = assignment["trial"], world
        self.idle = {"rate": 1.0, "steps": 2, "seconds": 0.0, "fault": {}, **self.trial.get("idle", {})}
        self.epoch, self.value = 0, 1.0
        if assignment["resume"] is not None:
            state = json.loads(Path(assignment["resume"], "state.safetensors").read_text())
            self.epoch, self.value = state["epoch"], state["value"]
        self.seconds = 0.0
        self.events: Iterator[Progress | Scored] = self.advance()

    def advance(self) -> Iterator[Progress | Scored]:
        """The events of the run."""
        epochs, steps = int(self.trial["training"]["epochs"]), int(self.idle["steps"])
        while self.epoch < epochs:
            epoch = self.epoch + 1
            for step in range(1, steps):
                self.work(epoch)
                yield Progress(epoch, step, steps)
            self.work(epoch)
            self.epoch, self.value = epoch, math.fmod(self.value * 1.7 + self.idle["rate"], 3.0)
            metrics = {ACCURACY: self.value, "train/speed/seconds": self.seconds}
            yield Scored(epoch, metrics, done=epoch == epochs)

    def work(self, epoch: int) -> None:
        """A step: sleep, meet the fault that the trial asks for, and keep step with the other workers."""
        started = time.monotonic()
        time.sleep(self.idle["seconds"])
        fault = self.idle["fault"].get(str(epoch))
        if fault is not None:
            meet(fault, epoch)
        if self.world.size > 1:
            import torch

            torch.distributed.barrier()
        self.seconds += time.monotonic() - started

    def save(self, folder: Path) -> None:
        """Write the state like a checkpoint: by rank 0, under another name first, with its checksum."""
        if self.world.rank > 0:
            return
        draft = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
        draft.mkdir(parents=True)
        content = json.dumps({"epoch": self.epoch, "value": self.value}).encode()
        (draft / "state.safetensors").write_bytes(content)
        (draft / "manifest.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))
        if not folder.exists():
            os.rename(draft, folder)

    def close(self) -> None:
        """Nothing is held."""


def meet(fault: str, epoch: int) -> None:
    """Raise what a run may raise, or be slow."""
    if fault == "slow":
        time.sleep(1)
    elif fault == "diverged":
        raise Diverged("the loss", epoch=epoch, step=1)
    elif fault == "memory":
        raise MemoryError("asked for more than there is")
    elif fault == "value":
        raise ValueError("a wrong number")
    else:
        raise AssertionError(f"unknown fault {fault}")


def open_idle_run(assignment: dict[str, Any], world: World) -> IdleRun:
    """The factory of runs that do nothing."""
    return IdleRun(assignment, world)


class IdleSpace:
    """A search space of one number, the rate of the recurrence; every run is otherwise the same `trial`.

    `faults` maps the number of a run, as it is asked, to the faults of that run (see `IdleRun`).
    """

    def __init__(self, trial: dict[str, Any], faults: dict[int, dict[str, str]] | None = None):
        self.plain, self.faults = trial, faults or {}

    def trial(self, values: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a run."""
        idle = {**self.plain.get("idle", {}), "rate": values["rate"], "fault": self.faults.get(values["number"], {})}
        return {**self.plain, "idle": idle, "seeds": {}}

    def canonical(self) -> dict[str, Any]:
        """What the space consists of."""
        return {"trial": self.plain, "faults": {str(number): fault for number, fault in self.faults.items()}}


class IdleSampler:
    """Draws the rate from the number of the run and from all results that it was told before, so that an answer given
    on the ground of other results shows."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ask(self, number: int) -> dict[str, Any]:
        """The values for run `number`."""
        digest = hashlib.sha256("|".join([str(number), *self.told]).encode()).digest()
        return {"number": number, "rate": 0.1 + digest[0] / 256}

    def restore(self, number: int, values: dict[str, Any]) -> None:
        """Nothing is pending here."""

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        """A result."""
        self.told.append(f"{number} {state} {values} {intermediate}")


def idle_driver(
    folder: Path, sweep: Sweep, trial: dict[str, Any], faults: dict[int, dict[str, str]] | None = None
) -> Driver:
    """A driver over runs that do nothing, not opened yet. Its log and its checkpoints lie in `folder`."""
    log = EventLog(RealDisk(), folder / "events.jsonl", None, clock=time.time)
    space, sampler = IdleSpace(trial, faults), IdleSampler()
    return Driver(
        sweep,
        "idle",
        "idle",
        space,
        sampler,
        log,
        str(folder),
        to_plain=dict,
        usable=lambda path: is_sound(Path(path)),
    )


def measure(workers: int, trials: int, folder: Path) -> list[float]:
    """Seconds per trial outside the generator, from the second trial on, with one slot."""
    sweep = Sweep(maximize=(ACCURACY,), trials=trials, workers=workers, lag=0)
    driver = idle_driver(folder, sweep, {"training": {"epochs": 3}, "idle": {"steps": 4, "seconds": 0.002}})
    driver.open()
    cpu = 1.0 if (os.cpu_count() or 1) >= workers else 0.5
    run_sweep(driver, sweep, factory=FACTORY, slots=1, resources={"cpu": cpu}, folder=folder)
    driver.close()
    runs = driver.history.runs
    ends = [run.ended_at or math.nan for run in runs]
    inside = [run.metrics["train/speed/seconds"] for run in runs]
    return [later - sooner - own for sooner, later, own in zip(ends, ends[1:], inside[1:], strict=False)]


def main() -> None:
    """Print the overhead of each trial after the first, and their median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trials", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        found = measure(options.workers, options.trials, Path(folder))
        total = time.monotonic() - started
    print("overhead per trial after the first, seconds:", " ".join(f"{value:.3f}" for value in found))
    print(f"median {statistics.median(found):.3f} s, largest {max(found):.3f} s; the whole sweep took {total:.1f} s")


if __name__ == "__main__":
    main()
