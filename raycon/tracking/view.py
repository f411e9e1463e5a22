"""What the event log says about each run, as changes to be written to a tracker: no tracker is needed for it.

The same log gives the same changes, with the times of the events themselves. That is what makes a replay harmless: a
tracker that keeps one row per (metric, time, step, value) has nothing new to store. The log is read by
`raycon.history`; here is only how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raycon.events import Event
from raycon.history import RunRecord, SweepHistory
from raycon.tracking.records import LONGEST_TAG, Batch, Change, Point, as_yaml, metric_name, parameters
from raycon.tracking.redaction import redact_text

STATUS_OF_STATE = {
    "complete": "FINISHED",
    "pruned": "FINISHED",  # its early end was planned; MLflow's page shows KILLED like FAILED, as a red cross
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}


class View:
    """Folds events into a history, and what they change into a `Batch`. `canonical` is the space in `sweep.json`, or
    empty where that is lost."""

    def __init__(self, canonical: Mapping[str, Any]):
        self.history = SweepHistory(canonical=dict(canonical))
        self.logarithmic = self.history.logarithmic_paths()
        self.ended = self.failed = 0
        self.best: dict[str, RunRecord] = {}

    def fold(self, event: Event, batch: Batch) -> None:
        """Add to `batch` what this event changes. Raises RayconError for an event that no driver can have written."""
        self.history.add(event)
        handle = getattr(self, f"_on_{event.kind}", None)
        if handle is not None:
            handle(event, batch)

    def picture(self, batch: Batch) -> None:
        """Have the sweep's figure drawn, as it is when the batch is written."""
        if any(run.metrics for run in self.history.runs):
            self._sweep(batch).picture = self.history

    @property
    def _aims(self) -> list[tuple[str, str]]:
        """(side, metric) of each objective, the maximised ones first."""
        sides = (("maximize", self.history.maximize), ("minimize", self.history.minimize))
        return [(side, name) for side, names in sides for name in names]

    def _sweep(self, batch: Batch) -> Change:
        return batch.of("", self.history.name, _milliseconds(self.history.attempts[0].opened_at))

    def _run(self, batch: Batch, run: RunRecord) -> Change:
        return batch.of(run.key, run.key, _milliseconds(run.asked_at))

    def _tags(self, kind: str) -> dict[str, str]:
        versions = {name: str(version) for name, version in self.history.attempts[-1].versions.items()}
        commit = versions.pop("commit", None)
        tags = {"raycon.kind": kind, "raycon.identity": self.history.identity, "mlflow.source.name": "raycon"}
        tags |= {f"raycon.version.{name}": version for name, version in versions.items()}
        return {**tags, "mlflow.source.git.commit": commit} if commit else tags

    def _on_opened(self, event: Event, batch: Batch) -> None:
        history, change = self.history, self._sweep(batch)
        change.tags |= {"raycon.sweep": history.name, "raycon.attempts": str(event["attempt"]), **self._tags("sweep")}
        for side, names in (("maximize", history.maximize), ("minimize", history.minimize)):
            change.tags |= {f"raycon.{side}": ", ".join(names)} if names else {}
        if history.canonical:
            change.files["space.yaml"] = as_yaml(history.canonical)
        change.status, change.ended_ms = "RUNNING", None
        self._describe_sweep(change)

    def _on_asked(self, event: Event, batch: Batch) -> None:
        run = self.history.run(event["key"])
        change, dataset = self._run(batch, run), _dataset(run)
        change.params |= parameters(run, self.logarithmic)
        change.files["config.yaml"] = as_yaml(run.trial)
        change.dataset = dataset or None
        change.tags |= {
            **self._tags("run"),
            "raycon.number": str(run.number),
            "raycon.method": _method(run),
            "raycon.dataset": dataset,
            "raycon.state": "running",
            **{f"raycon.seed.{name}": str(seed) for name, seed in run.seeds.items()},
        }

    def _on_reused(self, event: Event, batch: Batch) -> None:
        run = self.history.run(event["key"])
        self._run(batch, run).tags["raycon.reused_from"] = f"{event['origin']['sweep']}/{event['origin']['key']}"

    def _on_started(self, event: Event, batch: Batch) -> None:
        self._run(batch, self.history.run(event["key"])).status = "RUNNING"

    def _on_scored(self, event: Event, batch: Batch) -> None:
        run, epoch = self.history.run(event["key"]), int(event["epoch"])
        self._add_points(batch, run, run.epochs[epoch], event.time, epoch)

    def _add_points(self, batch: Batch, run: RunRecord, metrics: Mapping[str, float], time: float, epoch: int) -> None:
        change = self._run(batch, run)
        for name, value in metrics.items():
            if math.isfinite(value):
                change.points.append(Point(metric_name(name), value, _milliseconds(time), epoch))
                batch.values += 1
            else:
                # An infinity would be stored as the largest float and wreck every axis; no filter finds a NaN.
                change.tags["raycon.not_finite"] = f"{name} at epoch {epoch}"

    def _on_finished(self, event: Event, batch: Batch) -> None:
        """Its metrics were sent when their epoch was scored."""
        run, time_ms = self.history.run(event["key"]), _milliseconds(event.time)
        change = self._run(batch, run)
        change.status, change.ended_ms = STATUS_OF_STATE[run.state], time_ms
        change.tags |= {"raycon.state": run.state, "mlflow.note.content": self._describe_run(run)}
        if run.reason:
            change.tags["raycon.reason"] = redact_text(run.reason)[:LONGEST_TAG]
        for side, name in self._aims:
            found = _best_epoch(run, name, side)
            if found is not None:
                # At step 0, since MLflow draws what has no steps as one bar per run instead of one dot per run.
                change.points.append(Point(metric_name(f"best/{name}"), found[1], time_ms, 0))
        change.picture = run if run.epochs else None
        batch.urgent = True
        self._count(run, batch, time_ms)

    def _count(self, run: RunRecord, batch: Batch, time_ms: int) -> None:
        """The sweep's own metrics, at the step 'runs ended so far'."""
        change = self._sweep(batch)
        self.ended += 1
        self.failed += STATUS_OF_STATE[run.state] == "FAILED"
        for side, name in self._aims if run.state == "complete" else []:
            value = run.metrics.get(name, math.nan)
            best = self.best.get(name)
            # The lower number among equals, as `SweepHistory.best` has it.
            if math.isfinite(value) and (best is None or _rank(run, name, side) > _rank(best, name, side)):
                self.best[name] = run
        values = {"runs/finished": float(self.ended - self.failed), "runs/failed": float(self.failed)}
        values |= {f"best/{name}": best.metrics[name] for name, best in self.best.items()}
        change.points += [Point(metric_name(name), value, time_ms, self.ended) for name, value in values.items()]
        self._describe_sweep(change)

    def _on_lost(self, event: Event, batch: Batch) -> None:
        run = self.history.run(event["key"])
        reason = redact_text(str(event["reason"]))[:LONGEST_TAG]
        self._run(batch, run).tags |= {"raycon.losses": str(len(run.losses)), "raycon.last_loss": reason}

    def _on_closed(self, event: Event, batch: Batch) -> None:
        change, time_ms = self._sweep(batch), _milliseconds(event.time)
        left = [run for run in self.history.runs if not run.finished]
        for run in left:
            killed = self._run(batch, run)
            killed.status, killed.ended_ms = "KILLED", time_ms
        ended = "FAILED" if self.ended and self.failed == self.ended else "FINISHED"
        change.status, change.ended_ms = "KILLED" if left else ended, time_ms
        self.picture(batch)
        batch.urgent = True

    def _on_test_opened(self, event: Event, batch: Batch) -> None:
        openings, time_ms = self.history.openings, _milliseconds(event.time)
        self._sweep(batch).points.append(Point("report/test_openings", float(openings), time_ms, openings))

    def _on_test_scored(self, event: Event, batch: Batch) -> None:
        """Under `report/`, apart from the scores by which anything was chosen."""
        run = self.history.run(event["key"])
        scores = {f"report/{name}": value for name, value in run.test.items()}
        self._add_points(batch, run, scores, event.time, run.final_epoch)

    def _describe_sweep(self, change: Change) -> None:
        """Set again after every run: the counts, and which run is best, found without opening a child."""
        name = self.history.name
        lines = [f"Sweep **{name}**: {self.ended} runs ended, {self.failed} of them failed."]
        for number, (side, objective) in enumerate(self._aims):
            best = self.best.get(objective)
            found = f"best {best.metrics[objective]:.6g} by run `{best.key}`" if best else "no value yet"
            lines.append(f"{side} `{objective}`: {found}")
            if best:
                change.tags["raycon.best" if number == 0 else f"raycon.best.{number + 1}"] = best.key
        lines.append(f"All runs as a flat list: filter by `tags.\"raycon.sweep\" = '{name}'`.")
        change.tags["mlflow.note.content"] = "\n\n".join(lines)[:LONGEST_TAG]

    def _describe_run(self, run: RunRecord) -> str:
        lines = [f"**{_method(run)}** on {_dataset(run)}: {run.state} after {run.last_epoch} epochs."]
        if run.reason:
            lines.append(redact_text(run.reason))
        for side, name in self._aims:
            found = _best_epoch(run, name, side)
            if found is not None:
                end = f"{run.metrics[name]:.6g} at the end, " if name in run.metrics else ""
                lines.append(f"`{name}`: {end}best {found[1]:.6g} at epoch {found[0]}")
        return "\n\n".join(lines)[:LONGEST_TAG]


def _milliseconds(time: float) -> int:
    return round(time * 1000)


def _method(run: RunRecord) -> str:
    """The functions of the objective, in its order."""
    return " + ".join(str(knobs.get("term", name)) for name, knobs in run.trial.get("objective", {}).items())


def _dataset(run: RunRecord) -> str:
    return str(run.trial.get("data", {}).get("dataset", ""))


def _rank(run: RunRecord, name: str, side: str) -> tuple[float, int]:
    return run.metrics[name] if side == "maximize" else -run.metrics[name], -run.number


def _best_epoch(run: RunRecord, name: str, side: str) -> tuple[int, float] | None:
    """(epoch, value) of the best value over the epochs, the earliest of equals; None where there is no value."""
    course = {epoch: value for epoch, value in run.course(name).items() if math.isfinite(value)}
    choose = max if side == "maximize" else min
    epoch = choose(course, key=course.__getitem__, default=None)
    return None if epoch is None else (epoch, course[epoch])
