"""What the event log says about each run, as changes to be written to a tracker: a pure fold, without any tracker.

The same log gives the same changes, with the times of the events themselves. That is what makes a replay harmless: a
tracker that keeps one row per (metric, time, step, value) has nothing new to store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raycon.tracking.records import (
    LONGEST_TAG,
    Batch,
    Change,
    Point,
    RunRecord,
    SweepFacts,
    as_yaml,
    metric_name,
    objectives_of,
    parameters,
)
from raycon.tracking.redaction import redact_text

STATUS_OF_STATE = {
    "complete": "FINISHED",
    "pruned": "FINISHED",  # its early end was planned; MLflow's page shows KILLED like FAILED, as a red cross
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}


class View:
    """Folds events into a `Batch`. Kinds that it does not know are passed over."""

    def __init__(self, facts: SweepFacts):
        self.facts = facts
        self.live: dict[str, RunRecord] = {}
        self.ended: set[str] = set()
        self.failed, self.attempt, self.opened_ms, self.user = 0, 0, 0, ""
        self.best: dict[str, tuple[float, str]] = {}
        self._by_kind = {
            "opened": self._opened,
            "asked": self._asked,
            "started": self._started,
            "scored": self._scored,
            "finished": self._finished,
            "lost": self._lost,
            "closed": self._closed,
        }

    def fold(self, event: Mapping[str, Any], batch: Batch) -> None:
        """Add to `batch` what this event changes. Events of unknown or ended runs change nothing."""
        handle = self._by_kind.get(str(event["kind"]))
        if handle is not None:
            time_ms = round(float(event["time"]) * 1000)
            self.opened_ms = self.opened_ms or time_ms
            handle(event, batch, time_ms)

    def _sweep(self, batch: Batch) -> Change:
        return batch.of("", self.facts.name, self.opened_ms)

    def _run(self, batch: Batch, run: RunRecord) -> Change:
        return batch.of(run.key, run.key, run.created_ms)

    def _opened(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        self.attempt = int(event.get("attempt", self.attempt + 1))
        if event.get("objectives"):
            self.facts = replace(self.facts, objectives=objectives_of(event["objectives"]))
        change = self._sweep(batch)
        versions = {**self.facts.versions, **(event.get("versions") or {})}
        self.facts = replace(self.facts, versions={name: str(version) for name, version in versions.items()})
        change.tags |= {
            "raycon.kind": "sweep",
            "raycon.sweep": self.facts.name,
            "raycon.identity": self.facts.identity or str(event.get("identity", "")),
            "raycon.attempts": str(self.attempt),
            "mlflow.source.name": "raycon",
            **self._version_tags(),
        }
        for objective in self.facts.objectives:
            change.tags["raycon.maximize" if objective.maximize else "raycon.minimize"] = ", ".join(
                other.name for other in self.facts.objectives if other.maximize is objective.maximize
            )
        if self.facts.space:
            change.files["space.yaml"] = as_yaml(self.facts.space)
        change.status, change.ended_ms = "RUNNING", None
        self._describe_sweep(change)

    def _asked(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        key = str(event["key"])
        if key in self.live or key in self.ended:
            return
        trial = event.get("trial") or {}
        seeds = event.get("seeds") or trial.get("seeds") or {}
        run = RunRecord(
            key, int(event["number"]), trial, event.get("values") or {}, seeds, time_ms, self.facts.objectives
        )
        self.live[key] = run
        change = self._run(batch, run)
        change.params |= parameters(run, self.facts.log_paths)
        change.files["config.yaml"] = as_yaml(trial)
        change.dataset = str((trial.get("data") or {}).get("dataset", "")) or None
        change.tags |= {
            "raycon.kind": "run",
            "raycon.number": str(run.number),
            "raycon.method": " + ".join(run.terms),
            "raycon.dataset": str((trial.get("data") or {}).get("dataset", "")),
            "raycon.identity": self.facts.identity,
            "raycon.state": run.state,
            "mlflow.source.name": "raycon",
            **{f"raycon.seed.{name}": str(seed) for name, seed in seeds.items()},
            **self._version_tags(),
        }

    def _version_tags(self) -> dict[str, str]:
        versions = self.facts.versions.items()
        tags = {f"raycon.version.{name}": version for name, version in versions if "commit" not in name}
        commit = next((version for name, version in versions if "commit" in name and version), None)
        return {**tags, "mlflow.source.git.commit": commit} if commit else tags

    def _started(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        run = self.live.get(str(event["key"]))
        if run is not None:
            self._run(batch, run).status = "RUNNING"

    def _scored(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        run = self.live.get(str(event["key"]))
        if run is not None:
            self._add_points(run, int(event["epoch"]), event.get("metrics") or {}, batch, time_ms)

    def _add_points(
        self, run: RunRecord, epoch: int, metrics: Mapping[str, Any], batch: Batch, time_ms: int
    ) -> dict[str, float]:
        """New values of an epoch; the first one of a (metric, epoch) counts. Returns all finite ones, new or not."""
        change, run.epoch = self._run(batch, run), max(run.epoch, epoch)
        finite = {}
        for name, value in metrics.items():
            number = float("nan") if value is None else float(value)
            if not math.isfinite(number):
                # An infinity would be stored as the largest float and wreck every axis; no filter finds a NaN.
                change.tags["raycon.not_finite"] = f"{name} at epoch {epoch}"
                continue
            finite[name] = number
            history = run.history.setdefault(name, {})
            if epoch not in history:
                history[epoch] = number
                change.points.append(Point(metric_name(name), number, time_ms, epoch))
                batch.values += 1
        return finite

    def _finished(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        run = self.live.pop(str(event["key"]), None)
        if run is None:
            return
        self.ended.add(run.key)
        run.state, run.reason = str(event["state"]), event.get("reason")
        epoch = int(event.get("epoch") or run.epoch)
        run.final = self._add_points(run, epoch, event.get("metrics") or {}, batch, time_ms)
        change = self._run(batch, run)
        change.status, change.ended_ms = STATUS_OF_STATE.get(run.state, "FAILED"), time_ms
        change.tags |= {"raycon.state": run.state, "mlflow.note.content": _run_note(run)}
        if run.reason:
            change.tags["raycon.reason"] = redact_text(str(run.reason))[:LONGEST_TAG]
        change.finished = run
        for objective in run.objectives:
            best = run.best(objective)
            if best is not None:
                # At step 0, since MLflow draws what has no steps as one bar per run instead of one dot per run.
                change.points.append(Point(metric_name(f"best/{objective.name}"), best[1], time_ms, 0))
        batch.urgent = True
        self._count(run, batch, time_ms)

    def _count(self, run: RunRecord, batch: Batch, time_ms: int) -> None:
        """The sweep's own metrics, at the step 'runs ended so far'."""
        change, step = self._sweep(batch), len(self.ended)
        self.failed += STATUS_OF_STATE.get(run.state, "FAILED") == "FAILED"
        counts = {"runs/finished": float(step - self.failed), "runs/failed": float(self.failed)}
        if run.state == "complete":
            for objective in self.facts.objectives:
                value = run.final.get(objective.name)
                known = self.best.get(objective.name)
                if value is not None and objective.better(value, known[0] if known else None):
                    self.best[objective.name] = value, run.key
        counts |= {f"best/{name}": value for name, (value, _) in self.best.items()}
        change.points += [Point(metric_name(name), value, time_ms, step) for name, value in counts.items()]
        self._describe_sweep(change)

    def _lost(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        run = self.live.get(str(event["key"]))
        if run is not None:
            run.losses += 1
            reason = redact_text(str(event.get("reason", "")))[:LONGEST_TAG]
            self._run(batch, run).tags |= {"raycon.losses": str(run.losses), "raycon.last_loss": reason}

    def _closed(self, event: Mapping[str, Any], batch: Batch, time_ms: int) -> None:
        change = self._sweep(batch)
        for run in self.live.values():
            left = self._run(batch, run)
            left.status, left.ended_ms = "KILLED", time_ms
        if self.live:
            change.status = "KILLED"
        else:
            change.status = "FAILED" if self.ended and self.failed == len(self.ended) else "FINISHED"
        change.ended_ms, batch.urgent = time_ms, True

    def _describe_sweep(self, change: Change) -> None:
        """Set again after every run: the counts, and which run is best, found without opening a child."""
        lines = [f"Sweep **{self.facts.name}**: {len(self.ended)} runs ended, {self.failed} of them failed."]
        for number, objective in enumerate(self.facts.objectives):
            aim = "maximize" if objective.maximize else "minimize"
            value, key = self.best.get(objective.name, (None, ""))
            found = f"best {value:.6g} by run `{key}`" if value is not None else "no value yet"
            lines.append(f"{aim} `{objective.name}`: {found}")
            if value is not None:
                change.tags["raycon.best" if number == 0 else f"raycon.best.{number + 1}"] = key
        lines.append(f"All runs as a flat list: filter by `tags.\"raycon.sweep\" = '{self.facts.name}'`.")
        change.tags["mlflow.note.content"] = "\n\n".join(lines)[:LONGEST_TAG]


def _run_note(run: RunRecord) -> str:
    dataset = (run.trial.get("data") or {}).get("dataset", "")
    lines = [f"**{' + '.join(run.terms)}** on {dataset}: {run.state} after {run.epoch} epochs."]
    if run.reason:
        lines.append(redact_text(str(run.reason)))
    for objective in run.objectives:
        best, final = run.best(objective), run.final.get(objective.name)
        if best is not None:
            end = f"{final:.6g} at the end, " if final is not None else ""
            lines.append(f"`{objective.name}`: {end}best {best[1]:.6g} at epoch {best[0]}")
    return "\n\n".join(lines)[:LONGEST_TAG]
