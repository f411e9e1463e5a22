"""Event logs of sweeps that never ran, with the shape of real ones: learning curves, early stops, a loss, a failure."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from raycon.disk import RealDisk
from raycon.events import EventLog

OBJECTIVE = "validation/linear_probe/accuracy"
START = 1_790_000_000.0


class LogWriter:
    """Writes events with a clock of its own, so that the same calls give the same bytes."""

    def __init__(self, folder: Path, *, objectives: tuple[str, ...] = (OBJECTIVE,)):
        folder.mkdir(parents=True, exist_ok=True)
        self.now, self.objectives, self.name = START, objectives, folder.name
        self.log = EventLog(RealDisk(), folder / "events.jsonl", None, clock=self._tick)
        space = {
            "name": folder.name,
            "trial": {"objective": {"spread": {"temperature": {"log_uniform": [0.03, 1.0]}}}},
            "sweep": {"maximize": list(objectives), "trials": 8},
        }
        facts = {"name": folder.name, "identity": "f" * 64, "canonical": space, "versions": {"raycon": "0.1.0"}}
        (folder / "sweep.json").write_text(json.dumps(facts))
        self.log.open()

    def _tick(self) -> float:
        self.now += 0.731
        return self.now

    def opened(self, attempt: int = 1) -> None:
        """The driver starts."""
        objectives = {"maximize": list(self.objectives), "minimize": []}
        versions = {"raycon": "0.1.0", "torch": "2.14.1", "commit": "c" * 40}
        place = {"host": "here", "pid": 1, "created": START, "session": ""}
        facts = {"identity": "f" * 64, "name": self.name, "objectives": objectives, "trials": 8}
        self.log.append("opened", attempt=attempt, versions=versions, **facts, **place)

    def asked(self, number: int, values: dict[str, Any] | None = None) -> str:
        """A run begins; its key."""
        key = f"{number:04d}-{number * 2654435761 % 2**32:08x}"
        values = values if values is not None else {"objective.spread.temperature": 0.1}
        self.log.append("asked", number=number, key=key, values=values, trial=trial(values), seeds=SEEDS)
        self.log.append("started", key=key, attempt=1, **{"try": 1})
        return key

    def scored(self, key: str, epoch: int, metrics: dict[str, Any]) -> None:
        """An epoch of a run."""
        self.log.append("scored", key=key, epoch=epoch, metrics=metrics, checkpoint=None, done=False)

    def finished(self, key: str, state: str, epoch: int, metrics: dict[str, Any], reason: str | None = None) -> None:
        """The end of a run."""
        self.log.append("finished", key=key, state=state, epoch=epoch, metrics=metrics, reason=reason)


SEEDS = {"split": 0, "init": 0, "order": 0}


def trial(values: dict[str, Any]) -> dict[str, Any]:
    """A resolved trial in plain values, with `values` at their paths."""
    plain: dict[str, Any] = {
        "data": {"dataset": "fashion_mnist", "labels": "coarse", "coarse": "garments", "train_size": 10000},
        "encoder": {"name": "convnet", "width": 24, "depth": 4, "projection": [128, 64]},
        "objective": {
            "supcon": {"term": "supcon", "weight": 1.0, "temperature": 0.1},
            "spread": {"term": "class_conditional_infonce", "weight": 0.3, "temperature": 0.1},
        },
        "training": {"epochs": 8, "batch_size": 256, "learning_rate": 0.004, "optimiser": "adamw"},
        "seeds": SEEDS,
    }
    for path, value in values.items():
        *parents, knob = path.split(".")
        place = plain
        for name in parents:
            place = place.setdefault(name, {})
        place[knob] = value
    return plain


def curve(draw: random.Random, quality: float, epoch: int) -> dict[str, Any]:
    """Metrics of an epoch of a run that ends near `quality`."""
    learnt = 1 - math.exp(-epoch / 2.2)
    noise = draw.gauss(0, 0.006)
    return {
        "train/objective/total": 4.6 - 2.1 * learnt + noise * 3,
        "train/objective/supcon": 3.1 - 1.4 * learnt + noise * 2,
        "train/objective/spread": 1.5 - 0.7 * learnt + noise,
        "train/objective/learning_rate": 0.004 * math.cos(epoch / 8 * math.pi / 2),
        "train/speed/images_per_second": 5200 + draw.gauss(0, 90),
        OBJECTIVE: 0.55 + (quality - 0.55) * learnt + noise,
        "validation/coarse_to_fine/accuracy": 0.42 + (quality - 0.5) * learnt + noise,
        "validation/geometry/uniformity": -1.1 - 1.6 * learnt + noise,
        "validation/geometry/alignment": 0.9 - 0.5 * learnt + noise,
    }


def write_sweep(folder: Path, *, runs: int = 8, epochs: int = 8, seed: int = 3) -> LogWriter:
    """A sweep of `runs` runs, two at a time: most complete, some stopped early, one diverged, one lost and retried."""
    writer, draw = LogWriter(folder), random.Random(seed)
    writer.opened()
    for first in range(0, runs, 2):
        pair = []
        for number in range(first, min(first + 2, runs)):
            temperature, weight = 10 ** draw.uniform(-1.5, 0), draw.uniform(0, 1)
            values = {"objective.spread.temperature": temperature, "objective.spread.weight": weight}
            quality = 0.86 - 0.08 * abs(math.log10(temperature) + 0.8) + 0.04 * weight
            pair.append((number, writer.asked(number, values), quality))
        _advance(writer, draw, pair, epochs)
    writer.log.append("closed")
    return writer


def _advance(writer: LogWriter, draw: random.Random, pair: list[tuple[int, str, float]], epochs: int) -> None:
    last: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    for epoch in range(1, epochs + 1):
        for number, key, quality in pair:
            if key in ended:
                continue
            last[key] = curve(draw, quality, epoch)
            if number == 5 and epoch == 3:
                writer.scored(key, epoch, {**last[key], "train/objective/total": "nan"})
                writer.finished(key, "diverged", epoch, {}, "the loss is not finite at epoch 3, step 12")
            elif number % 4 == 2 and epoch == 4:
                writer.scored(key, epoch, last[key])
                writer.finished(key, "pruned", epoch, last[key])
            elif epoch == epochs:
                writer.scored(key, epoch, last[key])
                writer.finished(key, "complete", epoch, last[key])
            else:
                writer.scored(key, epoch, last[key])
                if number == 1 and epoch == 5:
                    writer.log.append("lost", key=key, reason="the worker process ended with signal 9")
                continue
            ended.add(key)
