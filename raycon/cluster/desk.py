"""Between Tune and the driver: what Tune's searcher, scheduler and callback ask and tell, in one place.

Tune swallows exceptions of some of its hooks and retries others, so an error of the driver is kept here, the sweep is
brought to a halt, and whoever started it raises the error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from raycon.cluster.engine import STORAGE_LOST
from raycon.cluster.outage import Outage
from raycon.driver import Driver
from raycon.driver_contract import Assignment, Finished, Wait
from raycon.observer import Observer

logger = logging.getLogger("raycon")


class Desk:
    """Hands assignments to Tune's trials and passes their reports on. Trials are named by Tune's trial id."""

    def __init__(self, driver: Driver, observer: Observer | None, slot: dict[str, Any], free: Callable[[str], None]):
        """`slot` is the part of a trial's config that all trials share; `free` gives the resources back of a worker
        group that lost its leader, from what that group told when it started."""
        self.driver, self.observer, self.slot, self.free = driver, observer, slot, free
        self.outage = Outage(driver.storage)
        self.assignments: dict[str, Assignment] = {}
        self.actors: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.heard: dict[str, str] = {}
        self.error: Exception | None = None
        self.finished = False
        self.interrupted = False
        self.observer_failed = False

    @property
    def halted(self) -> bool:
        """Whether nothing more is to be started or recorded."""
        return self.interrupted or self.error is not None

    def guard(self, action: Callable[[], Any], otherwise: Any) -> Any:
        """The value of `action`, or `otherwise` once the sweep is halted; an error of `action` halts it."""
        if self.halted:
            return otherwise
        try:
            return action()
        except Exception as error:
            self.error = error
            return otherwise

    def look_after(self) -> bool:
        """Whether the sweep is halted. To be called several times a second: what the copy of the log lacks is written
        when that is due, and not with the next event only, which may be an hour away."""
        self.guard(self.driver.log.catch_up, None)
        return self.halted

    def ask(self, trial: str) -> dict[str, Any] | None:
        """The config of a new trial; None if there is none, now (`finished` is False) or any more."""
        answer: Assignment | Wait | Finished = self.guard(self.next_work, Wait())
        if isinstance(answer, Assignment):
            self.assignments[trial] = answer
            return self.config(trial)
        self.finished = isinstance(answer, Finished)
        return None

    def next_work(self) -> Assignment | Wait | Finished:
        """What the driver has to give, as long as the storage is well."""
        return Wait() if self.outage.lasts() else self.driver.next()

    def config(self, trial: str) -> dict[str, Any]:
        """What Tune hands to the actor."""
        return {"assignment": self.assignments[trial].plain(), "slot": self.slot}

    def started(self, trial: str, actor: str) -> None:
        """An actor, named by Ray's id, has taken the trial up."""
        assignment = self.assignments[trial]
        self.actors[trial] = actor
        self.guard(lambda: self.driver.started(assignment.key, assignment.try_), None)
        epoch = self.driver.history.run(assignment.key).last_epoch if assignment.resume else 0
        event = {"epoch": epoch, "resumed": epoch > 0, "try": assignment.try_}
        self.tell({"kind": "started", "key": assignment.key, "number": assignment.number, **event})

    def report(self, trial: str, text: str) -> str:
        """Take in one report; 'stop' or 'continue'. The same report is taken in once."""
        if self.heard.get(trial) == text:
            return "continue"
        self.heard[trial] = text
        decision: str = self.guard(lambda: self.pass_on(trial, json.loads(text)), "stop")
        return decision

    def pass_on(self, trial: str, message: dict[str, Any]) -> str:
        """Tell the driver, then the observer."""
        assignment = self.assignments[trial]
        key, try_, decision = assignment.key, assignment.try_, "continue"
        ended_before = self.driver.history.run(key).finished
        # Tune gives the last result of a lost actor again when another one has taken its trial up.
        repeated = message["kind"] == "scored" and message["epoch"] <= self.driver.history.run(key).last_epoch
        for process in message.pop("processes", ()):
            self.driver.process(process["pid"], process["created"], process["role"], process["host"])
        group, actor = message.pop("placement_group", None), message.pop("actor", None)
        if group is not None:
            self.groups[actor] = group
        if message["kind"] == "scored":
            decision = self.driver.scored(
                key,
                message["epoch"],
                message["metrics"],
                message["checkpoint"],
                message["done"],
                attempt_try=try_,
            )
        elif message.get("state") == STORAGE_LOST:
            self.lost(trial, message["reason"], requeue=True, storage=True)
            return "stop"
        elif message["kind"] == "ended":
            self.driver.ended(key, message["state"], message["reason"], attempt_try=try_)
            decision = "stop"
        if message["kind"] != "ended" and not ended_before and not repeated:
            self.tell({**message, "number": assignment.number})
        if not ended_before:
            self.tell_end(key)
        return decision

    def tell_end(self, key: str) -> None:
        """Tell the observer that a run has ended, if it has."""
        run = self.driver.history.run(key)
        if run.finished:
            event = {"state": run.state, "reason": run.reason, "epoch": run.final_epoch, "metrics": run.metrics}
            self.tell({"kind": "ended", "key": key, "number": run.number, **event})

    def lost(self, trial: str, reason: str, *, requeue: bool, storage: bool = False) -> dict[str, Any] | None:
        """The trial's actor or worker group is gone. Its config for another try, or None if there is to be none.

        With `requeue` Tune has given the trial up, and the run comes back under another trial; `storage`: it was lost
        to the storage, which is waited for before anything more is handed out.
        """
        assignment = self.assignments[trial]
        key, try_ = assignment.key, assignment.try_
        ended_before = self.driver.history.run(key).finished
        how: dict[str, Any] = {"attempt_try": try_, "requeue": requeue, "storage": storage}
        answer = self.guard(lambda: self.driver.lost(key, reason, **how), "stop")
        if storage and not ended_before:
            epoch = self.driver.history.run(key).last_epoch
            self.guard(lambda: self.outage.lost(key, epoch, reason), None)
        if not ended_before:
            self.tell({"kind": "lost", "key": key, "number": assignment.number, "reason": reason})
            self.tell_end(key)
        self.heard.pop(trial, None)
        if requeue:
            del self.assignments[trial]
        if requeue or answer == "stop":
            return None
        self.assignments[trial] = self.driver.assignment(key)
        return self.config(trial)

    def leaderless(self, trial: str) -> None:
        """The actor of a trial is gone: what its worker group held is given back."""
        group = self.groups.pop(self.actors.pop(trial, ""), None)
        if group is not None:
            self.free(group)

    def over(self, trial: str) -> None:
        """The trial has ended and Tune is done with it. A run that the driver does not hold for finished, because a
        result on the way to its end is missing, is handed out again."""
        assignment = self.assignments.get(trial)
        unfinished = assignment is not None and not self.driver.history.run(assignment.key).finished
        if unfinished and not self.halted:
            self.lost(trial, "the run ended, but not all of its results arrived", requeue=True)
        for table in (self.assignments, self.heard, self.actors):
            table.pop(trial, None)

    def give_back(self, reason: str, *, storage: bool = False) -> None:
        """Tune itself failed, on the storage perhaps: every run under way waits to be handed out again."""
        for trial in list(self.assignments):
            self.lost(trial, reason, requeue=True, storage=storage)

    def tell(self, event: dict[str, Any]) -> None:
        """Tell the observer. Whoever only watches must not end what took hours: its errors are not the sweep's."""
        if self.observer is None or self.halted:
            return
        try:
            self.observer.on_event(event)
        except Exception as error:
            if not self.observer_failed:
                problem = f"{type(error).__name__}: {error}"
                logger.warning("the sweep goes on, but what is shown of it is incomplete: %s", problem)
            self.observer_failed = True
