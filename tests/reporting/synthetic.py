"""Sweeps and repetitions that never ran: logs written by the real EventLog, with numbers as real runs give them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raycon.disk import RealDisk
from raycon.events import EventLog, plain_metrics
from raycon.history import SweepHistory, read_sweep

FINE = "validation/coarse_to_fine/accuracy"
ALIGNMENT = "validation/geometry/alignment"
SEEDS = {"split": 42, "init": 42, "order": 42}
EPOCHS = 6

Run = tuple[dict[str, Any], str, dict[str, float]]
"""Values, final state, and the metrics of the last epoch."""


class Book:
    """A log under way, with a clock of its own."""

    def __init__(self, folder: Path, *, maximize: Sequence[str] = (FINE,), minimize: Sequence[str] = (), trials: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.now = 1_790_000_000.0
        self.folder = folder
        self.log = EventLog(RealDisk(), folder / "events.jsonl", clock=self._tick)
        self.log.open()
        self.log.append(
            "opened",
            attempt=1,
            identity="a" * 64,
            name=folder.name,
            objectives={"maximize": list(maximize), "minimize": list(minimize)},
            trials=trials,
            versions={"raycon": "0.1.0", "torch": "2.14.0"},
            host="machine",
            pid=1,
            created=1.0,
            session="",
        )
        self.count = 0

    def _tick(self) -> float:
        self.now += 1.25
        return self.now

    def run(self, values: Mapping[str, Any], state: str, metrics: Mapping[str, float], **more: Any) -> str:
        """One run from its beginning to its end; `unfinished` leaves it after its first epoch."""
        number, key = self.count, f"{self.count:04d}-{self.count * 2654435761 % 2**32:08x}"
        self.count += 1
        seeds = more.get("seeds", SEEDS)
        trial = more.get("trial") or {"training": {"epochs": EPOCHS}, "seeds": seeds}
        self.log.append("asked", number=number, key=key, values=dict(values), trial=trial, seeds=seeds)
        self.log.append("started", **{"key": key, "attempt": 1, "try": 1})
        epochs = {"complete": EPOCHS, "pruned": 2}.get(state, 1)
        checkpoint = more.get("checkpoint")
        for epoch in range(1, epochs + 1):
            learnt = 1 - math.exp(-epoch / 2)
            course = {"train/objective/total": 4.0 - 2 * learnt, "train/objective/supcon": 3.0 - learnt}
            course |= {name: value * learnt if epoch < epochs else value for name, value in metrics.items()}
            self.log.append(
                "scored",
                key=key,
                epoch=epoch,
                metrics=plain_metrics(course),
                checkpoint=checkpoint,
                done=state == "complete" and epoch == epochs,
            )
        if state != "unfinished":
            reason = None if state == "complete" else f"ended as {state} at epoch {epochs}"
            final = plain_metrics({} if state in ("diverged", "failed") else metrics)
            self.log.append("finished", key=key, state=state, epoch=epochs, metrics=final, reason=reason)
        return key

    def close(self) -> SweepHistory:
        """The history, written down."""
        self.log.append("closed")
        self.log.sync()
        return read_sweep(self.folder)


def write_sweep(folder: Path, runs: Sequence[Run], **options: Any) -> SweepHistory:
    """A sweep of just these runs."""
    book = Book(folder, trials=len(runs), **options)
    for values, state, metrics in runs:
        book.run(values, state, metrics)
    return book.close()


def realistic_sweep(folder: Path, runs: int = 24, **options: Any) -> SweepHistory:
    """Six knobs, two of them booleans and one under a condition; some runs pruned, one diverged, one failed."""
    draw = random.Random(5)
    book = Book(folder, trials=runs, **options)
    for number in range(runs):
        temperature, weight = 10 ** draw.uniform(-1.3, -0.3), draw.uniform(0, 1)
        decoder, kind = draw.random() < 0.6, draw.choice(["out", "in"])
        values: dict[str, Any] = {
            "objective.supcon.temperature": temperature,
            "objective.class_conditional_infonce.weight": weight,
            "objective.supcon.form": kind,
            "objective.reconstruction.use": decoder,
            "augmentation.flip": draw.random() < 0.5,
        }
        if decoder:
            values["objective.reconstruction.weight"] = 10 ** draw.uniform(-1, 1)
        score = 0.72 + 0.06 * weight - 0.05 * abs(math.log10(temperature) + 0.8) + 0.02 * decoder + draw.gauss(0, 0.01)
        state = {7: "diverged", 12: "failed"}.get(number, "pruned" if number % 5 == 4 else "complete")
        metrics = {
            FINE: score - (0.08 if state == "pruned" else 0),
            ALIGNMENT: 0.9 - 0.5 * weight + draw.gauss(0, 0.05),
        }
        book.run(values, state, metrics)
    return book.close()


def write_repeat(
    folder: Path,
    of: str,
    scores: Mapping[str, Mapping[int, float | str]],
    *,
    test: Mapping[str, Mapping[int, float]] | None = None,
    score: str = FINE,
) -> SweepHistory:
    """A repetition: configuration -> seed -> score, or the state of a run that ended without one."""
    book = Book(folder, maximize=(score,), trials=sum(map(len, scores.values())))
    (folder / "sweep.json").write_text(json.dumps({"canonical": {"repeat_of": of, "score": score}}))
    for name, found in scores.items():
        for seed, value in found.items():
            state = value if isinstance(value, str) else "complete"
            metrics = {score: value} if not isinstance(value, str) else {}
            seeds = {"split": seed, "init": seed, "order": seed}
            key = book.run({"configuration": name, "seed": seed}, state, metrics, seeds=seeds)
            if test is not None and seed in test.get(name, {}):
                tested = {score.replace("validation/", "test/", 1): test[name][seed]}
                book.log.append("test_scored", key=key, metrics=tested)
    return book.close()


def realistic_repeat(folder: Path, of: str) -> SweepHistory:
    """Three configurations on five seeds, one of whose runs diverged; all with test scores."""
    draw = random.Random(2)
    scores: dict[str, dict[int, float | str]] = {"winner": {}, "plain_supcon": {}, "strongest_default": {}}
    test: dict[str, dict[int, float]] = {name: {} for name in scores}
    for seed in range(101, 106):
        level = 0.74 + draw.gauss(0, 0.012)
        for name, gain in (("winner", 0.03), ("plain_supcon", 0.0), ("strongest_default", 0.027)):
            scores[name][seed] = level + gain + draw.gauss(0, 0.005)
            test[name][seed] = level + gain + draw.gauss(0, 0.006) - 0.01
    scores["plain_supcon"][104] = "diverged"
    del test["plain_supcon"][104]
    return write_repeat(folder, of, scores, test=test)
