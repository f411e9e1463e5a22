"""A sweep in this process, one run after another, without Ray: for debuggers, and for runs of less than a second.

The same driver, desk and engine as on Ray, so the runs, the log and the scores are the same.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict
from pathlib import Path

from raycon.cluster.desk import Desk
from raycon.cluster.engine import SILENCE, Engine, Pace, Report, advance_until
from raycon.cluster.outage import LIMIT, Outage
from raycon.cluster.session import end_leftovers
from raycon.config import Sweep
from raycon.driver import Driver
from raycon.errors import InvalidFile, RayconError
from raycon.observer import Observer
from raycon.runs import World

PAUSE = 0.1
"""Seconds between two looks whether the storage answers again."""


def run_here(
    driver: Driver,
    sweep: Sweep,
    *,
    factory: str = "raycon.training:open_run",
    device: str = "cpu",
    observer: Observer | None = None,
    folder: Path,
    wait_minutes: float = LIMIT / 60,
) -> None:
    """Run what is left of a sweep. The driver is open, the lock of `folder` is held; both stay the caller's to end.

    Raises InvalidFile for a sweep whose runs have several workers, LimitHit where the storage took no checkpoint for
    `wait_minutes`, and whatever the driver raises. An interruption ends it at once; the same call goes on from the last
    checkpoint, as on Ray.
    """
    if sweep.workers > 1:
        raise InvalidFile(f"runs of {sweep.workers} workers need Ray; one process holds one worker", field="workers")
    end_leftovers(folder, [asdict(process) for process in driver.processes()])
    desk = Desk(driver, observer, {}, lambda group: None)
    desk.outage = Outage(driver.storage, 60 * wait_minutes)
    engine = Engine(factory, World(device=device))
    try:
        for number in itertools.count():
            trial = f"here-{number}"
            config = desk.ask(trial)
            while config is None and desk.outage.since is not None and not desk.halted:
                time.sleep(PAUSE)
                config = desk.ask(trial)
            given = config is not None
            while config is not None:
                desk.started(trial, "")
                config = _attempt(desk, trial, engine)
            if desk.finished or desk.halted:
                break
            if not given:
                raise RayconError("the search has no run to give, though none is under way")
            desk.over(trial)
    finally:
        engine.close()
    if desk.error is not None:
        raise desk.error


def _attempt(desk: Desk, trial: str, engine: Engine) -> dict[str, object] | None:
    """One try of a run: None when it is over, or the config of another try."""
    assignment = desk.assignments[trial].plain()
    try:
        report, pace = engine.begin(assignment), Pace()
        decision = desk.report(trial, _told(report, assignment)) if report is not None else "continue"
        while decision == "continue" and not (report is not None and report.done):
            report = advance_until(engine.next, pace, SILENCE)
            decision = desk.report(trial, _told(report, assignment))
    except Exception as error:
        engine.close()
        return desk.lost(trial, f"{type(error).__name__}: {error}", requeue=False)
    return None


def _told(report: Report, assignment: dict[str, object]) -> str:
    return json.dumps({"key": assignment["key"], **report.plain()})
