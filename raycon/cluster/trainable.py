"""The one trainable that Tune sees: a slot which takes one assignment after another and advances it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import ray
from ray import tune

from raycon.checkpoint_storage import on_storage, usable
from raycon.cluster.engine import SILENCE, Engine, Pace, Report, advance_until
from raycon.cluster.workers import GroupSize, WorkerGroup, process_record
from raycon.runs import World

POINTER = "pointer.json"


class Slot(tune.Trainable):
    """A reused actor. With one worker the engine lives in it; with several it leads a warm worker group.

    Its config is {'assignment': {...}, 'slot': {'factory', 'workers', 'cpus', 'gpus', 'storage', 'patience'}}; the
    second part is the same for all trials of a sweep. Nothing is started before the first step: Tune throws an actor
    away that is still starting when another one becomes free.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Remember the assignment."""
        self.slot = config["slot"]
        self.assignment = config["assignment"]
        self.worker: Engine | WorkerGroup | None = None
        self.open = False
        self.report = Report("progress")
        self.pace = Pace()
        self.announced = False

    def step(self) -> dict[str, Any]:
        """Advance to the next scored epoch or sign of life."""
        worker = self.worker or self.start()
        failure = None
        if not self.open:
            self.open, self.pace = True, Pace()
            failure = worker.begin(self.assignment)
        self.report = failure or advance_until(worker.next, self.pace, SILENCE)
        if self.report.kind == "ended":
            self.open = False
        if isinstance(worker, WorkerGroup) and worker.mailbox is None:
            self.worker, self.announced = None, False
        return self.result()

    def start(self) -> Engine | WorkerGroup:
        """Bring up what runs the trials of this slot."""
        workers, gpus = self.slot["workers"], self.slot["gpus"]
        if workers == 1:
            self.worker = Engine(self.slot["factory"], World(0, 1, "cuda:0" if gpus else "cpu"))
            return self.worker
        group = WorkerGroup(self.slot["factory"], GroupSize(workers, self.slot["cpus"], gpus), self.slot["storage"])
        self.worker = group
        group.start(self.slot["patience"])
        return group

    def result(self) -> dict[str, Any]:
        """What Tune gets. The report travels as one string: Tune would flatten its nested parts and print them."""
        message = {"key": self.assignment["key"], **self.report.plain()}
        if not self.announced:
            message["processes"] = [process_record("trial actor")]
            if isinstance(self.worker, WorkerGroup) and self.worker.placement_group is not None:
                message["processes"] += self.worker.processes
                message["actor"] = ray.get_runtime_context().get_actor_id()
                message["placement_group"] = pickle.dumps(self.worker.placement_group).hex()
            self.announced = True
        return {
            "report": json.dumps(message),
            "epoch": self.report.epoch,
            "done": self.report.done,
            "should_checkpoint": self.report.checkpoint is not None and not self.report.done,
        }

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Tune writes its pointer to the storage, too."""
        with on_storage(self.slot["storage"]):
            return super().save(checkpoint_dir)

    def restore(self, checkpoint_path: Any) -> None:
        """And reads it there."""
        with on_storage(self.slot["storage"]):
            super().restore(checkpoint_path)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write where the newest checkpoint of the run lies; Tune never carries the weights."""
        pointer = {
            "key": self.assignment["key"],
            "epoch": self.report.epoch,
            "attempt": self.assignment["attempt"],
            "path": self.report.checkpoint,
        }
        Path(checkpoint_dir, POINTER).write_text(json.dumps(pointer))

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Resume where the pointer says, if the log named no checkpoint that is still sound. The log's is as new as
        the pointer or newer; neither is ahead of the results that the driver has."""
        if not isinstance(checkpoint, str):
            raise TypeError(f"a checkpoint of a slot is a folder, not {type(checkpoint).__name__}")
        pointer = json.loads(Path(checkpoint, POINTER).read_text())
        resume = self.assignment["resume"]
        if resume is not None and usable(resume):
            return
        good = pointer["key"] == self.assignment["key"] and usable(pointer["path"])
        self.assignment = {**self.assignment, "resume": pointer["path"] if good else None}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next assignment. What runs the trials stays up."""
        self.slot = new_config["slot"]
        self.assignment = new_config["assignment"]
        self.open = False
        self.report = Report("progress")
        return True

    def cleanup(self) -> None:
        """End what this slot has started."""
        worker, self.worker = self.worker, None
        if worker is not None and ray.is_initialized():
            worker.close()
