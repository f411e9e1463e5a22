"""The driver's core: a state machine that decides which run is next, whether a run goes on, and what is truth.

It knows no cluster, no optimiser and no training: clock, disk, sampler and workers are handed in, so that faults at
every moment can be simulated. Its state is a fold of the event log and nothing else. Three rules make an interrupted
sweep the same as an uninterrupted one:

- An event is durable before anything is done because of it: `asked` before the assignment is handed out, `scored` and
  `finished` before the worker hears the decision and before the sampler is told.
- Ask n is answered from the results of the runs 0 to n-1-lag, told in number order, whatever else has finished.
- A decision depends only on facts that can no longer change when it is due, so asking again gives the same answer.
"""

from __future__ import annotations

import hashlib
import json
import math
import socket
from collections.abc import Callable, Mapping
from typing import Any, Literal

from raycon.config import Sweep
from raycon.driver_contract import Assignment, Decision, Finished, Opener, Origin, Sampler, SpaceLike, Wait
from raycon.errors import RayconError, Refused, nearest
from raycon.events import STATES, EventLog, plain_metrics
from raycon.history import SWEEP_NAME, Process, RunRecord, SweepHistory, read_sweep_file
from raycon.metric_names import METRICS, metric
from raycon.object_storage import join
from raycon.space.canonical import differences
from raycon.stopping import goes_on, rungs, value_at

SHOWN_DIFFERENCES = 20

CLAIMS = 5
"""How often a log is opened anew because another driver writes to its mirror meanwhile, before that is written over."""


class Driver:
    """One sweep. Calls come from one thread. The caller holds the lock of the folder (`raycon.lock`).

    `space` and `sampler` may be simulated; `to_plain` turns what `space.trial` returns into plain values (by default
    `raycon.space.trial_to_plain`); `usable` says whether a checkpoint can be loaded (by default every one can: the log
    only names checkpoints that were complete when they were reported); `shipped` goes along with each assignment.
    """

    def __init__(
        self,
        sweep: Sweep,
        name: str,
        identity: str,
        space: SpaceLike,
        sampler: Sampler,
        log: EventLog,
        storage: str,
        *,
        to_plain: Callable[[Any], dict[str, Any]] | None = None,
        usable: Callable[[str], bool] = lambda checkpoint: True,
        shipped: Mapping[str, Any] | None = None,
    ):
        self.sweep, self.name, self.identity = sweep, name, identity
        self.space, self.sampler, self.log, self.storage = space, sampler, log, storage.rstrip("/")
        self.history = SweepHistory()
        self.attempt = 0
        self._to_plain = to_plain or _trial_to_plain
        self._usable = usable
        self._shipped = dict(shipped or {})
        self._assigned: set[str] = set()
        self._told = 0
        self._rung_values: dict[tuple[int, int], float | None] = {}
        self._is_open = False
        self._wrote = False

    def open(self, opener: Opener | None = None) -> None:
        """Read the log, check that it belongs to this search, record a new attempt and rebuild the sampler.

        A sweep that is already finished stays as it is: only a mirror that lags behind is written. Else the attempt is
        recorded before anything else is, so that a driver of an earlier one that still lives stops. Raises Refused
        where the folder holds runs of another search, with the differences; DamagedLog where the log cannot be trusted.
        """
        for left in reversed(range(CLAIMS)):
            self.history = SweepHistory.of(self.log.open())
            self._check_identity()
            self.attempt = 1 + max((attempt.number for attempt in self.history.attempts), default=0)
            if self.finished:
                self._is_open = True
                self.log.sync(mirror=True)
                return
            if self._record_attempt(opener or Opener.here(), insist=not left):
                break
        self._is_open = True
        self._write_sweep_file()
        for run in self.history.runs:
            if not run.finished:
                self._settle(run)
        self.log.sync(mirror=True)
        self._restore_sampler()

    def close(self) -> None:
        """End this attempt in good order. Unfinished runs stay unfinished: the same command goes on with them."""
        if self._is_open and self._wrote:
            self._append("closed")
            self.log.sync(mirror=True)
        self._is_open = False

    @property
    def finished(self) -> bool:
        """Whether every run that this attempt wants has ended: nothing is left to be handed out."""
        runs = self.history.runs
        return len(runs) >= max(1, self.sweep.trials) and all(run.finished for run in runs)

    def processes(self) -> list[Process]:
        """The processes that earlier attempts recorded, drivers included. One that still has this pid *and* creation
        time on this host is an orphan."""
        return [process for process in self.history.processes if process.attempt < self.attempt]

    def process(self, pid: int, created: float, role: str, host: str | None = None) -> None:
        """Record a process of this attempt, durably, so that a later attempt can end it."""
        self._check_open()
        self._append("process", pid=pid, created=created, role=role, host=host or socket.gethostname())
        self.log.sync()

    def take_over(self, origins: Mapping[int, Origin]) -> int:
        """End runs that no worker has begun with the results of finished runs elsewhere, by number, and say how many.

        Only where runs are listed, so that no ask depends on a result. A crash in between is made up for when the same
        call comes again.
        """
        self._check_open()
        taken = 0
        for number, origin in sorted(origins.items()):
            while len(self.history.runs) <= number:
                self._ask(len(self.history.runs))
            run = self.history.runs[number]
            if run.finished or run.tries or run.losses:
                continue
            if run.reused is None:
                self._append("reused", key=run.key, origin={"sweep": origin.sweep, **origin.place})
            for epoch, metrics in sorted(origin.epochs.items()):
                if epoch > run.last_epoch:
                    last = epoch == max(origin.epochs)
                    found = {"metrics": plain_metrics(metrics), "checkpoint": origin.checkpoints.get(epoch)}
                    self._append("scored", key=run.key, epoch=epoch, **found, done=last)
            self._settle(run)
            taken += 1
        self.log.sync(mirror=True)
        return taken

    def next(self) -> Assignment | Wait | Finished:
        """The next piece of work for a free worker. Runs that were interrupted come before new ones."""
        self._check_open()
        for run in self.history.runs:
            if not run.finished and run.key not in self._assigned:
                return self._hand_out(run)
        number = len(self.history.runs)
        if number >= self.sweep.trials:
            return Finished(self.history.counts()) if self.finished else Wait()
        if any(not run.finished for run in self.history.runs[: max(0, number - self.sweep.lag)]):
            return Wait()
        return self._hand_out(self._ask(number))

    def assignment(self, key: str) -> Assignment:
        """The current work of an unfinished run, with its newest checkpoint: for whoever restarts workers itself."""
        run = self.history.run(key)
        checkpoints = [run.checkpoints[epoch] for epoch in sorted(run.checkpoints, reverse=True)]
        resume = next((checkpoint for checkpoint in checkpoints if self._usable(checkpoint)), None)
        folder = join(self.storage, "runs", key)
        place = (key, run.number, self.attempt, 1 + len(run.losses))
        return Assignment(*place, run.trial, folder, resume, self._shipped)

    def started(self, key: str, attempt_try: int | None = None) -> None:
        """A worker has taken the run up. Informative: not synced on its own."""
        self._check_open()
        run = self.history.run(key)
        self._assigned.add(key)
        taken = (self.attempt, 1 + len(run.losses) if attempt_try is None else attempt_try)
        if not run.finished and taken not in run.tries:
            self._append("started", **{"key": key, "attempt": taken[0], "try": taken[1]})

    def scored(
        self,
        key: str,
        epoch: int,
        metrics: Mapping[str, float],
        checkpoint: str | None = None,
        done: bool = False,
        *,
        attempt_try: int | None = None,
    ) -> Decision:
        """An epoch of a run is over; says whether the run goes on. A result that was seen before changes nothing, nor
        does one that comes before its predecessor: a worker begins at the log's newest checkpoint or earlier, so only
        a forgotten one can be ahead of the log. A finished run always gets 'stop', and so does a try that has been
        declared lost.

        Raises RayconError where the last epoch lacks a metric that the sweep searches by.
        """
        self._check_open()
        run = self.history.run(key)
        if run.finished or self._is_stale(run, attempt_try):
            return "stop"
        if epoch == run.last_epoch + 1:
            if done:
                self._require_objectives(run, metrics)
            self._append(
                "scored", key=key, epoch=epoch, metrics=plain_metrics(metrics), checkpoint=checkpoint, done=bool(done)
            )
            self._settle(run)
            self.log.sync()
        return "stop" if run.finished else "continue"

    def ended(self, key: str, state: str, reason: str | None = None, *, attempt_try: int | None = None) -> None:
        """A run has ended by itself: 'diverged', 'out_of_memory' or 'failed'. Ignored for a finished run. 'complete'
        or 'pruned' for a run that the log does not know to be so is a failure: its scores never arrived."""
        self._check_open()
        run = self.history.run(key)
        if state not in STATES:
            raise ValueError(f"unknown state {state!r}")
        if run.finished or self._is_stale(run, attempt_try):
            return
        if state in ("complete", "pruned"):
            state, reason = "failed", f"ended as {state} without its last scores" + (f": {reason}" if reason else "")
        self._finish(run, state, reason)
        self.log.sync()

    def lost(
        self, key: str, reason: str, *, attempt_try: int | None = None, requeue: bool = False, storage: bool = False
    ) -> Literal["retry", "stop"]:
        """The infrastructure took the run away. 'retry': it goes on from its newest checkpoint, by whoever restarts
        workers (see `assignment`), or with `requeue` by `next`. 'stop': it is finished, or has been lost too often.

        storage: its checkpoint could not be written or fetched. That befalls every run alike until somebody mends it,
        so it does not count as a retry; the caller sees to it that it does not go on for ever.
        """
        self._check_open()
        run = self.history.run(key)
        if run.finished:
            return "stop"
        if not self._is_stale(run, attempt_try):
            self._append("lost", key=key, reason=reason, **({"storage": True} if storage else {}))
            self._settle(run)
            self.log.sync()
            if requeue:
                self._assigned.discard(key)
        return "stop" if run.finished else "retry"

    def _hand_out(self, run: RunRecord) -> Assignment:
        self._assigned.add(run.key)
        return self.assignment(run.key)

    def _ask(self, number: int) -> RunRecord:
        self._tell_up_to(number - self.sweep.lag)
        # As the log will give them back: what follows must not depend on whether the answer has been through JSON.
        values = json.loads(json.dumps(self.sampler.ask(number)))
        trial = json.loads(json.dumps(self._to_plain(self.space.trial(values)), sort_keys=True))
        key = run_key(number, trial)
        self._append("asked", number=number, key=key, values=values, trial=trial, seeds=trial.get("seeds", {}))
        self.log.sync()
        return self.history.run(key)

    def _tell_up_to(self, count: int) -> None:
        """Tell the results of the first `count` runs that were not told yet; they are all finished."""
        while self._told < count:
            run = self.history.runs[self._told]
            names = self.sweep.objectives
            complete = run.state == "complete"
            by_itself = run.state in ("complete", "pruned")
            course = run.course(names[0]) if by_itself and len(names) == 1 else {}
            finite = {epoch: value for epoch, value in course.items() if math.isfinite(value)}
            values = [run.metrics[name] for name in names] if complete else None
            self.sampler.tell(run.number, run.state, values, finite)
            self._told += 1

    def _restore_sampler(self) -> None:
        """Repeat what the sampler has been through, in the order in which it happened."""
        for run in self.history.runs:
            self._tell_up_to(run.number - self.sweep.lag)
            self.sampler.restore(run.number, run.values)

    def _settle(self, run: RunRecord) -> None:
        """Finish a run if what the log says about it demands that. Also called when the log is opened: a crash may
        have come between a result and its consequence."""
        if run.finished:
            return
        bad = [f"{name} is not finite at epoch {epoch}" for epoch, name in self._not_finite(run)]
        if bad:
            self._finish(run, "diverged", bad[0])
        elif run.done:
            self._finish(run, "complete", None)
        elif (rung := self._stopping_rung(run)) is not None:
            self._finish(run, "pruned", f"not in the best 1/{self._reduction()} at epoch {rung}")
        elif (lost := len(run.losses) - run.storage_losses) > self.sweep.retries:
            self._finish(run, "failed", f"lost {lost} times, last: {run.losses[-1]}")

    def _finish(self, run: RunRecord, state: str, reason: str | None) -> None:
        """The final metrics are those of the newest epoch whose objectives are finite."""
        bad = {epoch for epoch, _ in self._not_finite(run)}
        epoch = max(run.epochs.keys() - bad, default=0)
        metrics = run.epochs.get(epoch, {})
        self._append("finished", key=run.key, state=state, epoch=epoch, metrics=plain_metrics(metrics), reason=reason)

    def _stopping_rung(self, run: RunRecord) -> int | None:
        """The first rung at which the run should have been stopped, of those that it has reached."""
        rule = self.sweep.stop_early
        gate = self._gate()
        if rule is None or gate is None:
            return None
        higher = self._higher_is_better(gate)
        earlier_runs = self.history.runs[: max(0, run.number - self.sweep.lag)]
        for rung in rungs(rule.after, rule.reduction, run.total_epochs):
            if rung > run.last_epoch:
                return None
            own = value_at(rung, run.course(gate))
            earlier = [self._rung_value(other, rung, gate) for other in earlier_runs]
            known = [value for value in earlier if value is not None]
            if own is not None and not goes_on(own, known, rule.reduction, higher_is_better=higher):
                return rung
        return None

    def _rung_value(self, run: RunRecord, rung: int, gate: str) -> float | None:
        """What a finished run had at a rung; None where it did not reach it. Runs that the infrastructure ended do not
        count: what happened to them must not move another's decision."""
        place = (run.number, rung)
        if place not in self._rung_values:
            counts = run.state != "failed" and run.last_epoch >= rung
            self._rung_values[place] = value_at(rung, run.course(gate)) if counts else None
        return self._rung_values[place]

    def _gate(self) -> str | None:
        """The scalar by which runs are stopped: the gate, or else the single objective."""
        names = self.sweep.objectives
        return self.sweep.gate or (names[0] if len(names) == 1 else None)

    def _higher_is_better(self, name: str) -> bool:
        if name in self.sweep.objectives:
            return name in self.sweep.maximize
        return metric(name).direction == "higher"

    def _reduction(self) -> int:
        return self.sweep.stop_early.reduction if self.sweep.stop_early else 0

    def _not_finite(self, run: RunRecord) -> list[tuple[int, str]]:
        """(epoch, metric) wherever a metric that search or stopping looks at is NaN or infinite."""
        watched = (*self.sweep.objectives, *([self.sweep.gate] if self.sweep.gate else []))
        return [
            (epoch, name)
            for epoch, metrics in sorted(run.epochs.items())
            for name in watched
            if not math.isfinite(metrics.get(name, 0.0))
        ]

    def _require_objectives(self, run: RunRecord, metrics: Mapping[str, float]) -> None:
        if missing := [name for name in self.sweep.objectives if name not in metrics]:
            known = [f"validation/{name}" for name in METRICS]
            close = "" if missing[0] in known else nearest(missing[0], known)
            found = ", ".join(name for name in sorted(metrics) if name.startswith("validation/")) or "no such scores"
            raise RayconError(f"the last epoch of run {run.key} has no {', '.join(missing)}{close}; it has {found}")

    def _is_stale(self, run: RunRecord, attempt_try: int | None) -> bool:
        return attempt_try is not None and attempt_try <= len(run.losses)

    def _append(self, kind: str, **payload: Any) -> None:
        self.history.add(self.log.append(kind, **payload))
        self._wrote = True

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the driver is not open")

    def _record_attempt(self, opener: Opener, *, insist: bool) -> bool:
        """False if another driver has written to the mirror since the log was opened."""
        event = self.log.claim(
            insist=insist,
            attempt=self.attempt,
            identity=self.identity,
            name=self.name,
            objectives={"maximize": list(self.sweep.maximize), "minimize": list(self.sweep.minimize)},
            trials=self.sweep.trials,
            versions=opener.versions,
            host=opener.host,
            pid=opener.pid,
            created=opener.created,
            session=opener.session,
            hardware=opener.hardware,
        )
        if event is not None:
            self.history.add(event)
            self._wrote = True
        return event is not None

    def _check_identity(self) -> None:
        """A folder without a run is free, whatever a crash or an attempt that was refused has left in it."""
        if not self.history.runs or self.history.identity == self.identity:
            return
        stored = read_sweep_file(self.log.path.parent, self.log.disk) or {}
        lines = differences(stored.get("canonical", {}), self.space.canonical())
        shown = lines[:SHOWN_DIFFERENCES]
        if len(lines) > len(shown):
            shown.append(f"... and {len(lines) - len(shown)} more")
        told = "".join(f"\n  {line}" for line in shown) or "\n  (the stored space is not readable)"
        raise Refused(
            f"{self.log.path.parent} holds another search of the name {self.history.name!r}; "
            f"`--fork` begins beside it. Stored -> wanted:{told}"
        )

    def _write_sweep_file(self) -> None:
        stored = read_sweep_file(self.log.path.parent, self.log.disk)
        if stored is None or stored.get("identity") != self.identity:
            content = {"schema": 1, "name": self.name, "identity": self.identity, "canonical": self.space.canonical()}
            self.log.write_beside(SWEEP_NAME, (json.dumps(content, indent=1) + "\n").encode())


def run_key(number: int, trial: dict[str, Any]) -> str:
    """The key of a run: its number and the first 8 hexadecimal digits of the SHA-256 of its canonical configuration,
    seeds included."""
    canonical = json.dumps(trial, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{number:04d}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def _trial_to_plain(trial: Any) -> dict[str, Any]:
    from raycon.space import trial_to_plain

    return trial_to_plain(trial)
