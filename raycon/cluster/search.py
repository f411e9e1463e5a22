"""A sweep on Ray Tune: Tune places the runs and retries lost ones; what runs, stops and counts is the driver's word.

Tune's own record of the sweep is scaffolding that is removed at the end: neither `Tuner.restore` nor a pickled searcher
is ever used. A sweep is continued from the event log alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from raycon.checkpoint_storage import StorageLost
from raycon.cluster.capacity import Slots, counted_on, grows_unseen, plan_room, worker_of
from raycon.cluster.desk import Desk
from raycon.cluster.outage import Outage
from raycon.cluster.room import WAIT_MINUTES, Admission
from raycon.cluster.session import Session, end_leftovers, ray_session
from raycon.cluster.shared import refuse_unshared
from raycon.cluster.trainable import Slot
from raycon.cluster.workers import remove_placement_group
from raycon.config import Sweep
from raycon.driver import Driver
from raycon.errors import InvalidFile, RayconError
from raycon.object_storage import is_uri, join, remove_tree
from raycon.observer import Observer

GROUP_LEADER_MEMORY = 1024**2
"""Bytes that a trial actor asks for whose workers have resources of their own: Tune refuses to ask for nothing."""


def run_sweep(
    driver: Driver,
    sweep: Sweep,
    *,
    factory: str = "raycon.training:open_run",
    slots: int | None = None,
    resources: dict[str, float] | None = None,
    observer: Observer | None = None,
    folder: Path,
    wait_minutes: float = WAIT_MINUTES,
) -> None:
    """Run what is left of a sweep. The driver is open, the lock of `folder` is held; both stay the caller's to end.

    factory: 'package.module:function', see `raycon.runs.RunFactory`.
    slots: runs at the same time; by default as many as the cluster can hold. Never more than sweep.lag + 1 are used; a
    warning tells of it where that leaves asked slots, GPUs or machines idle.
    resources: {'cpu', 'gpu'} of one worker; by default one CPU, and one GPU where the cluster has any.
    wait_minutes: how long to wait for room in a cluster that is full, or that has yet to grow, and for a storage that
    does not take checkpoints.

    Processes that an earlier attempt left are ended first. Raises InvalidFile if the cluster can never hold a run, or
    one of its nodes does not see the folder of the storage, LimitHit if there was no room, or no storage, for too long,
    KeyboardInterrupt after SIGINT or SIGTERM, when the runs have been stopped, and RayconError if Tune fails again and
    again.
    """
    end_leftovers(folder, [asdict(process) for process in driver.processes()])
    if resources is not None and resources.get("gpu") and not (os.environ.get("RAY_ADDRESS") or ray.is_initialized()):
        refuse_missing_gpu(resources["gpu"])
    if driver.finished:
        return
    desk = Desk(driver, observer, {}, free_group)
    with ray_session(folder) as session:
        for process in session.processes:
            driver.process(process["pid"], process["created"], process["role"], process["host"])
        if not session.started_here:
            refuse_unshared(driver.storage)
        left = sweep.trials - sum(run.finished for run in driver.history.runs)
        plan = plan_slots(session, sweep, slots, resources, left)
        remove_scaffolding(driver)
        tune_place = scaffolding(driver, driver.attempt)
        patience = 60 * wait_minutes
        desk.outage = Outage(driver.storage, patience)
        desk.slot = {**asdict(plan.worker), "factory": factory, "storage": tune_place, "patience": patience}
        admission = Admission(plan, patience, alone=session.started_here)
        with interruptible(desk), contextlib.closing(admission):
            admission.wait(desk.look_after)
            tune_until_done(desk, sweep, admission, tune_place)
    if desk.error is not None:
        raise desk.error
    if desk.interrupted and not desk.finished:
        raise KeyboardInterrupt


def scaffolding(driver: Driver, attempt: int) -> str:
    """Where Tune keeps its own files in an attempt: no other attempt's, for the driver of an older one may still live,
    and takes its own away when it stops."""
    place = driver.storage if is_uri(driver.storage) else str(Path(driver.storage).resolve())
    return join(place, f"tune-{attempt}")


def remove_scaffolding(driver: Driver) -> None:
    """Take away what earlier attempts left: those that were lost, and those whose storage failed them at the end."""
    for attempt in driver.history.attempts:
        if attempt.number < driver.attempt:
            remove_tree(scaffolding(driver, attempt.number))


def plan_slots(
    session: Session,
    sweep: Sweep,
    slots: int | None,
    resources: dict[str, float] | None,
    left: int | None = None,
) -> Slots:
    """Fit the sweep, of which `left` runs are to be done (by default all), to the cluster, and tell of room that it
    leaves idle. Raises InvalidFile where it can never fit: Ray would wait for ever."""
    worker = worker_of(resources, sweep.workers, gpus_there=session.gpus > 0)
    if resources is None and not worker.gpus and grows_unseen(session.capacity):
        told = "no GPU is there, and the cluster does not tell whether one may come: every worker takes a CPU"
        logging.getLogger("raycon").warning("%s. `--gpus 1` asks for a GPU each, `--gpus 0` for none", told)
    plan = plan_room(session.capacity, worker, slots, sweep.lag + 1)
    counted = counted_on(session.capacity, worker, slots, alone=session.started_here)
    if min(counted, sweep.trials if left is None else left) > plan.slots:
        most = min(counted, sweep.trials)
        logging.getLogger("raycon").warning(
            "runs at a time: %d, though %d %s; a search has sweep.lag + 1 at most and so is the same on any number "
            "of slots. `--set sweep.lag=%d` lets %d go on; it is another search, under a --name of its own",
            *(plan.slots, counted, "are asked for" if slots else "fit", most - 1, most),
        )
    return plan


def reserved(plan: Slots) -> Any:
    """What Tune reserves for one trial actor."""
    if plan.worker.workers == 1:
        return {"cpu": plan.worker.cpus, "gpu": plan.worker.gpus}
    return tune.PlacementGroupFactory([{"memory": GROUP_LEADER_MEMORY}])


def refuse_missing_gpu(asked: float) -> None:
    """Raise InvalidFile at once on a machine without any GPU device, before Ray is started to find that out."""
    devices = [*Path("/dev").glob("nvidia[0-9]*"), Path("/dev/dxg"), Path("/dev/kfd")]
    if os.name == "posix" and os.uname().sysname == "Linux" and not any(device.exists() for device in devices):
        raise InvalidFile(f"0 GPU in the cluster, asked {asked:g}", field="resources")


def tune_until_done(desk: Desk, sweep: Sweep, admission: Admission, storage: str) -> None:
    """Run Tune, and run it anew should it fail itself, until the sweep is finished or halted. What it keeps in
    `storage`, a folder or URI of its own, is removed."""
    for _ in range(1 + sweep.retries):
        failure, unstored = "Ray Tune ended before the sweep", False
        try:
            tune_once(desk, sweep, admission, storage)
        except Exception as error:
            failure = f"Ray Tune failed: {type(error).__name__}: {error}"
            unstored = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
        finally:
            remove_tree(storage)
        if desk.finished or desk.halted:
            return
        desk.give_back(failure, storage=unstored)
    raise RayconError(f"{failure}. What was done is kept; the same command goes on with it")


def tune_once(desk: Desk, sweep: Sweep, admission: Admission, storage: str) -> None:
    """One Tuner, from its start to its end."""
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    plan = admission.plan
    tuner = tune.Tuner(
        tune.with_resources(Slot, reserved(plan)),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=DeskSearcher(desk, admission),
            scheduler=DeskScheduler(desk, plan.slots),
            max_concurrent_trials=plan.slots,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["assignment"]["key"],
            trial_dirname_creator=lambda trial: f"{trial.config['assignment']['key']}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"tune-{uuid.uuid4().hex[:8]}",
            storage_path=storage,
            failure_config=tune.FailureConfig(max_failures=sweep.retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[DeskCallback(desk)],
            stop=DeskStopper(desk, admission),
            verbose=0,
        ),
    )
    tuner.fit()


class Unpickled:
    """Tune pickles its parts for `Tuner.restore`, which is never used: nothing of them is stored."""

    desk: Desk

    def __getstate__(self) -> dict[str, Any]:
        return {}


class DeskSearcher(Unpickled, Searcher):
    """Tune asks here for trials."""

    def __init__(self, desk: Desk, admission: Admission):
        super().__init__()
        self.desk, self.admission = desk, admission

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """There is no space of Tune's own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The config of a trial, None for now, or FINISHED."""
        if len(self.desk.assignments) >= self.admission.width and not self.desk.halted:
            return None
        config = self.desk.ask(trial_id)
        return Searcher.FINISHED if self.desk.finished or self.desk.halted else config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The last report of a trial comes here and only here; `error` says that Tune has given it up."""
        if trial_id not in self.desk.assignments:
            return
        if error:
            self.desk.lost(trial_id, "Ray Tune gave the trial up", requeue=True)
            return
        if result is not None and "report" in result:
            self.desk.report(trial_id, result["report"])
        self.desk.over(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the event log holds it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the event log holds it all."""


class DeskScheduler(Unpickled, FIFOScheduler):
    """Tune asks here whether a trial goes on."""

    def __init__(self, desk: Desk, slots: int):
        self.desk, self.slots = desk, slots
        self.keeps_actors = False

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Have Tune keep the actors of all slots. It would keep one idle actor only, and end those of the other slots
        whenever the search waits for a slow run; a worker group takes half a minute to come back."""
        if not self.keeps_actors:
            self.keeps_actors = True
            keep = getattr(getattr(tune_controller, "_actor_cache", None), "increase_max", None)
            if keep is not None:
                keep(trial.placement_group_factory, self.slots)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tune gives the trial up. The searcher is told next, but not why."""
        if trial.trial_id in self.desk.assignments:
            reason = describe_loss(trial)
            self.desk.lost(trial.trial_id, reason, requeue=True, storage=StorageLost.told_in(reason))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """The driver's decision on a scored epoch; signs of life go on."""
        decision = self.desk.report(trial.trial_id, result["report"])
        return str(self.STOP if decision == "stop" else self.CONTINUE)


class DeskCallback(Unpickled, tune.Callback):
    """Tune tells here what happens to actors."""

    def __init__(self, desk: Desk):
        self.desk = desk

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An actor has taken a trial up, for the first time or again."""
        actor = trial.temporary_state.ray_actor
        self.desk.started(trial.trial_id, actor._actor_id.hex())

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune will start the trial again: it gets the number of the new try and the newest checkpoint."""
        self.desk.leaderless(trial.trial_id)
        reason = describe_loss(trial)
        config = self.desk.lost(trial.trial_id, reason, requeue=False, storage=StorageLost.told_in(reason))
        if config is not None:
            trial.config.update(config)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has given the trial up; the searcher knows."""
        self.desk.leaderless(trial.trial_id)


def describe_loss(trial: Any) -> str:
    """One line on why an actor was lost."""
    lines = [line.strip() for line in str(trial.get_pickled_error() or "").splitlines() if line.strip()]
    return (lines[-1] if lines else "the trial actor was lost")[:300]


def free_group(pickled: str) -> None:
    """End the workers of a group, from what its leader told of it."""
    with contextlib.suppress(Exception):
        remove_placement_group(pickle.loads(bytes.fromhex(pickled)))


class DeskStopper(Unpickled, tune.Stopper):
    """Tune asks here, several times a second, whether to end everything."""

    def __init__(self, desk: Desk, admission: Admission):
        self.desk, self.admission = desk, admission

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped from here."""
        return False

    def stop_all(self) -> bool:
        """True once the sweep is interrupted, the driver has met an error, or there was no room for too long."""
        self.desk.guard(self.watch, None)
        return self.desk.look_after()

    def watch(self) -> None:
        """Let the sweep grow with the cluster. A worker group holds its resources once it has said so."""
        alone = self.admission.plan.worker.workers == 1
        at_work = len(self.desk.actors) if alone else len(self.desk.groups)
        self.admission.watch(len(self.desk.assignments), at_work)


@contextlib.contextmanager
def interruptible(desk: Desk) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM halt the sweep in good order, and the second one end it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def halt(number: int, frame: FrameType | None) -> None:
        desk.interrupted = True
        restore()

    earlier = {number: signal.signal(number, halt) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in earlier.items():
            signal.signal(number, handler)

    try:
        yield
    finally:
        restore()
