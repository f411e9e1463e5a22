"""One run on several workers without a sweep: a plain TorchTrainer run over the same loop as everywhere else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue

from raycon.cluster.capacity import plan_room, worker_of
from raycon.cluster.engine import Engine, Report, ended
from raycon.cluster.room import WAIT_MINUTES, Admission, bundles
from raycon.cluster.session import environment, ray_session
from raycon.cluster.shared import refuse_unshared
from raycon.cluster.workers import TRAIN_SETTINGS, quiet_run
from raycon.collectives import smallest_over_workers
from raycon.errors import RayconError
from raycon.object_storage import join, last_part, remove_tree
from raycon.runs import World


def train_workers(
    assignment: dict[str, Any],
    workers: int,
    *,
    folder: Path,
    factory: str = "raycon.training:open_run",
    resources: dict[str, float] | None = None,
    on_report: Callable[[dict[str, Any]], None] = lambda report: None,
    wait_minutes: float = WAIT_MINUTES,
) -> dict[str, float]:
    """Train the run of `assignment` on `workers` Ray Train workers; the metrics of its last epoch.

    Checkpoints go to assignment['folder'], a folder or URI that all workers reach, Ray's own files to a folder there
    that is removed. `folder` marks the processes of a Ray that is started here. `on_report` gets
    each progress and scored report of rank 0 as a dict. Raises RayconError when the run diverges or fails, InvalidFile
    when the cluster can never hold the workers, LimitHit when there was no room for `wait_minutes`.
    """
    with environment(TRAIN_SETTINGS), ray_session(folder) as session:
        if not session.started_here:
            refuse_unshared(assignment["folder"])
        worker = worker_of(resources, workers, gpus_there=session.gpus > 0)
        admission = Admission(plan_room(session.capacity, worker, 1, 1), wait_minutes * 60, alone=session.started_here)
        with contextlib.closing(admission):
            admission.wait(lambda: False)
        scaffolding = join(assignment["folder"], ".ray-train")
        reports = Queue(actor_options={"num_cpus": 0})
        trainer = TorchTrainer(
            train_rank,
            train_loop_config={"assignment": assignment, "factory": factory, "reports": reports},
            torch_config=TorchConfig(backend="nccl" if worker.gpus else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers,
                use_gpu=bool(worker.gpus),
                resources_per_worker=bundles(worker)[0],
            ),
            run_config=quiet_run(scaffolding),
        )
        try:
            return follow(trainer, reports, on_report)
        finally:
            remove_tree(scaffolding)


def train_rank(settings: dict[str, Any]) -> None:
    """The training function of each worker: the run from its start, or its checkpoint, to its end."""
    context, reports = ray.train.get_context(), settings["reports"]
    rank = context.get_world_rank()
    engine = Engine(settings["factory"], World(rank, context.get_world_size(), str(ray.train.torch.get_device())))
    report = at_one_epoch(engine, engine.begin(settings["assignment"]))
    while report is None or not report.done:
        report = engine.next()
        if rank == 0 and report.kind != "ended":
            reports.put(report.plain())
    if report.kind == "ended":
        # Any rank may be the only one that knows; the others may be waiting for it in a collective for ever.
        reports.put(report.plain())
        raise RuntimeError(report.reason)
    engine.close()


def at_one_epoch(engine: Engine, report: Report | None) -> Report | None:
    """How opening the run ended on this rank, or that the ranks do not go on from the same epoch, as after one of them
    alone could not read the newest checkpoint: their steps would be averaged all the same. Called on all ranks."""
    epoch = int(last_part(engine.resumed).removeprefix("epoch-")) if engine.resumed else 0
    own = epoch if report is None else -1
    least, most = smallest_over_workers(torch.tensor([own, -own], device=engine.world.device)).tolist()
    if report is not None or least == -most:
        return report
    if least < 0:
        raise RuntimeError("another worker could not open the run, and tells why")
    return ended(
        "failed",
        f"the workers go on from different epochs, {least} to {-most}: not all of them can read the checkpoints of "
        "this run, so its folder is not shared or is damaged on a node",
    )


def follow(trainer: TorchTrainer, reports: Queue, on_report: Callable[[dict[str, Any]], None]) -> dict[str, float]:
    """Run the trainer beside the reading of its reports; the metrics of the last epoch."""
    errors: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=fit, name="trainer", daemon=True)
    thread.start()
    last: dict[str, Any] | None = None
    while thread.is_alive() or not reports.empty():
        with contextlib.suppress(Empty):
            report = reports.get(timeout=0.5)
            if report["kind"] == "ended":
                raise RayconError(f"{report['state'].replace('_', ' ')}: {report['reason']}")
            on_report(report)
            last = report if report["kind"] == "scored" else last
    if last is None or not last["done"]:
        raise RayconError(f"the workers ended before the run: {errors[0] if errors else 'no reason is known'}")
    metrics: dict[str, float] = last["metrics"]
    return metrics
