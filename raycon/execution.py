"""Carries out a sweep or a list of runs: lock, log, driver, workers and tracker."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from raycon.checkpoint_storage import usable
from raycon.config import Sweep, Trial
from raycon.disk import RealDisk
from raycon.driver import Driver
from raycon.driver_contract import Opener, Origin, Sampler
from raycon.errors import InvalidFile, SomeRunsFailed
from raycon.events import EventLog
from raycon.hardware import training_device
from raycon.history import LOG_NAME
from raycon.lock import FolderLock
from raycon.mirror import mirror_at
from raycon.object_storage import check_reachable, join
from raycon.observer import Observer
from raycon.own_code import OwnCode, keep_code
from raycon.repeats import Listed, ListSampler
from raycon.settings import Settings
from raycon.space import first_trial
from raycon.sweep_tracking import followed
from raycon.versions import installed_versions

logger = logging.getLogger("raycon")


def check_data(trial: Trial) -> None:
    """Reads the data once, so that what is missing or too small is said before a cluster is started."""
    from raycon.datasets import load_tables

    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    if trial.training.batch_size > len(tables["train"]):
        reason = f"{trial.training.batch_size} is more than the {len(tables['train'])} training images"
        raise InvalidFile(reason, field="training.batch_size")


def execute(
    name: str,
    identity: str,
    space: Any,
    sampler: Sampler,
    wanted: Sweep,
    settings: Settings,
    observer: Observer | None,
    code: OwnCode,
    *,
    reuse: bool = False,
) -> None:
    """Runs what is left of the runs that `sampler` asks for of `space`: a search space, or a list that stands in for
    one. Raises SomeRunsFailed at the end if a run failed."""
    folder = settings.folder / name
    storage = join(settings.shared, name) if settings.shared else str(folder)
    check_reachable(storage)
    with FolderLock(folder):
        log = EventLog(RealDisk(), folder / LOG_NAME, mirror_at(storage) if storage != str(folder) else None)
        driver = Driver(wanted, name, identity, space, sampler, log, storage, usable=usable, shipped=code.shipped)
        versions = versions_of(space, code)
        driver.open(replace(Opener.here(), versions=versions))
        keep_code(code, {folder, storage})
        if reuse and not driver.finished:
            from raycon.reuse import find_origins

            driver.take_over(find_origins(space, settings.folder, lambda: versions))
        if observer is not None:
            observer.on_event(_opened(driver))
        try:
            with followed(folder, settings):
                try:
                    _run_all(driver, wanted, settings, observer, folder, code)
                finally:
                    # Before the tracker ends, so that it delivers this too.
                    driver.close()
        finally:
            driver.close()
            _warn_of_mirror(log)
    failed = driver.history.counts().get("failed", 0)
    if failed:
        raise SomeRunsFailed(f"{failed} of {len(driver.history.runs)} runs failed; `raycon runs show {name}` says why")


def run_listed(
    listed: Listed, like: Sweep, settings: Settings, observer: Observer | None, code: OwnCode, *, reuse: bool = False
) -> None:
    """Runs what is left of a list of runs, with the workers and retries of the sweep `like`. reuse: runs of other lists
    in the output folder that are finished already are taken over (see `raycon.reuse`)."""
    sampler, wanted = ListSampler(listed), listed.sweep(like)
    execute(listed.name, listed.identity(), listed, sampler, wanted, settings, observer, code, reuse=reuse)


def reusable_runs(listed: Listed, settings: Settings, code: OwnCode) -> dict[int, Origin]:
    """The runs of a list, by number, that `run_listed` would take over. The data are read, for their content hash,
    where there is something to compare."""
    from raycon.reuse import find_origins

    return find_origins(listed, settings.folder, lambda: versions_of(listed, code))


def versions_of(space: Any, code: OwnCode) -> dict[str, str]:
    """Of packages and data; a loop of the user's own reads data that nobody else knows."""
    from raycon.datasets.card import content_versions

    trials = space.configurations.values() if isinstance(space, Listed) else [first_trial(space)]
    return installed_versions() | (content_versions(trial.data for trial in trials) if code.loop is None else {})


def _run_all(
    driver: Driver, wanted: Sweep, settings: Settings, observer: Observer | None, folder: Path, code: OwnCode
) -> None:
    told: dict[str, Any] = {"factory": code.factory, "observer": observer, "folder": folder}
    told["wait_minutes"] = settings.wait_minutes
    if settings.here:
        from raycon.cluster.here import run_here

        run_here(driver, wanted, device=training_device(settings.resources), **told)
        return
    from raycon.cluster.search import run_sweep

    resources = dict(settings.resources) if settings.resources else None
    run_sweep(driver, wanted, slots=settings.slots, resources=resources, **told)


def _warn_of_mirror(log: EventLog) -> None:
    if log.mirror_error is not None:
        logger.warning("the copy of the log is behind; the same command brings it up to date: %s", log.mirror_error)


def _opened(driver: Driver) -> dict[str, Any]:
    """What an observer needs to know of earlier sessions."""
    ended = [run for run in driver.history.runs if run.finished]
    told = [{"number": run.number, "state": run.state, "metrics": run.metrics} for run in ended]
    return {"kind": "opened", "total": driver.sweep.trials, "ended": told}
