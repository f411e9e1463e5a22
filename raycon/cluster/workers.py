"""A warm group of Ray Train workers: one TorchTrainer run that is kept and fed with one trial after another.

Starting a TorchTrainer takes some twenty seconds of processor time, so a group is started once a slot. Its workers wait
at a mailbox for numbered commands, carry them out with their engines in lockstep and put their answers back. Metrics
do not go through `ray.train.report`, whose queue is read only every other second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import ray
import ray.train
import ray.train.collective
import ray.train.torch
from ray.train.torch import TorchConfig, TorchTrainer

from raycon.cluster.engine import STORAGE_LOST, Engine, Report
from raycon.runs import World

TRAIN_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""A lost rank is seen within a second; the watcher process and the metrics of Train are not used."""


class GroupLost(RuntimeError):
    """A worker group that cannot go on: a rank died, did not answer, or failed for a reason that is not the run's."""


@dataclass(frozen=True)
class GroupSize:
    """How many workers a group has and what each of them takes."""

    workers: int
    cpus: float = 1.0
    gpus: float = 0.0


def quiet_run(storage: str) -> Any:
    """A run configuration of Train under a name of its own: Train would resume a run whose name it has seen before."""
    settings: dict[str, Any] = {
        "name": f"group-{uuid.uuid4().hex[:12]}",
        "storage_path": storage,
        "failure_config": ray.train.FailureConfig(max_failures=0),
        "logging_config": ray.train.LoggingConfig(log_level="ERROR"),
    }
    return ray.train.RunConfig(**settings)


@dataclass(frozen=True)
class Reply:
    """One rank's answer to a command: a report, None for a command that tells nothing, or the text of a fault that
    loses the group."""

    report: Report | None = None
    fault: str | None = None


def process_record(role: str) -> dict[str, Any]:
    """What identifies this process for good: a pid alone is used again by the system."""
    process = psutil.Process()
    return {"pid": process.pid, "created": process.create_time(), "role": role, "host": os.uname().nodename}


class Mailbox:
    """The actor between a trial and its workers. Commands are numbered from 0; each rank takes all of them in order."""

    def __init__(self, workers: int):
        self.workers = workers
        self.commands: list[tuple[str, Any]] = []
        self.replies: dict[int, dict[int, Reply]] = {}
        self.greetings: dict[int, dict[str, Any]] = {}
        self.changed = asyncio.Condition()

    async def hello(self, rank: int, greeting: dict[str, Any]) -> None:
        """Rank `rank` has its engine and waits for commands."""
        async with self.changed:
            self.greetings[rank] = greeting
            self.changed.notify_all()

    async def everyone(self) -> list[dict[str, Any]]:
        """The greetings in the order of ranks, once all ranks have said hello."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.greetings) == self.workers)
        return [self.greetings[rank] for rank in range(self.workers)]

    async def take(self, number: int) -> tuple[str, Any]:
        """Command `number`, once there is one."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.commands) > number)
            return self.commands[number]

    async def reply(self, number: int, rank: int, reply: Reply) -> None:
        """Put in the answer of one rank."""
        async with self.changed:
            self.replies.setdefault(number, {})[rank] = reply
            self.changed.notify_all()

    async def exchange(self, name: str, argument: Any, patience: float) -> list[Reply]:
        """Give a command and wait for the answers, in the order of ranks.

        When a rank tells a fault or the end of its run, the others get `patience` more seconds; they may be caught in
        a collective that it will never join. Then only the answers that are there are returned.
        """
        number = len(self.commands)
        answers = self.replies.setdefault(number, {})
        async with self.changed:
            self.commands.append((name, argument))
            self.changed.notify_all()
            await self.changed.wait_for(lambda: len(answers) == self.workers or any(map(bad, answers.values())))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait_for(lambda: len(answers) == self.workers), patience)
        del self.replies[number]
        return [answers[rank] for rank in sorted(answers)]


def bad(reply: Reply) -> bool:
    """Whether a reply tells a fault or the end of a run by its own fault."""
    return reply.fault is not None or (reply.report is not None and reply.report.kind == "ended")


def serve(settings: dict[str, Any]) -> None:
    """The training function of each worker: take commands from the mailbox until told to quit."""
    context = ray.train.get_context()
    rank, mailbox = context.get_world_rank(), settings["mailbox"]
    world = World(rank, context.get_world_size(), str(ray.train.torch.get_device()))
    engine = Engine(settings["factory"], world)
    greeting = {"process": process_record(f"rank {rank}"), "placement_group": ray.util.get_current_placement_group()}
    ray.get(mailbox.hello.remote(rank, greeting))
    number = 0
    while True:
        name, argument = ray.get(mailbox.take.remote(number))
        if name == "quit":
            engine.close()
            return
        try:
            reply = Reply(carry_out(engine, name, argument))
        except Exception as error:
            ray.get(mailbox.reply.remote(number, rank, Reply(fault=f"rank {rank}: {type(error).__name__}: {error}")))
            raise
        ray.get(mailbox.reply.remote(number, rank, reply))
        number += 1


def carry_out(engine: Engine, name: str, argument: Any) -> Report | None:
    """One command on one rank."""
    if name == "begin":
        return engine.begin(argument)
    if name == "next":
        return engine.next(argument)
    raise ValueError(f"unknown command {name!r}")


class WorkerGroup:
    """One warm group, started by `start` and used by `begin` and `next` until `close`.

    A group is in use by one trial at a time. After a `GroupLost` only `close` may be called.
    """

    def __init__(self, factory: str, size: GroupSize, storage: str, *, collective_timeout: float = 600.0):
        self.factory, self.size, self.storage = factory, size, storage
        self.collective_timeout = collective_timeout
        self.error: BaseException | None = None
        self.greetings: list[dict[str, Any]] = []
        self.mailbox: Any = None
        self.thread: threading.Thread | None = None

    def start(self, patience: float = 300.0) -> None:
        """Start the workers; returns when all ranks wait for commands.

        Raises GroupLost when the trainer fails or the ranks are not there within `patience` seconds.
        """
        os.environ.update(TRAIN_SETTINGS)
        actor: Any = ray.remote(Mailbox)
        self.mailbox = actor.options(num_cpus=0, max_concurrency=4 * self.size.workers + 8).remote(self.size.workers)
        trainer = self.trainer()
        self.thread = threading.Thread(target=self.fit, args=(trainer,), name="worker-group", daemon=True)
        self.thread.start()
        self.greetings = self.wait(self.mailbox.everyone.remote(), patience)

    def trainer(self) -> TorchTrainer:
        """The trainer whose workers serve this group. Tune owns retries, so Train makes none."""
        backend: Literal["nccl", "gloo"] = "nccl" if self.size.gpus else "gloo"
        resources = {"CPU": self.size.cpus, **({"GPU": self.size.gpus} if self.size.gpus else {})}
        return TorchTrainer(
            serve,
            train_loop_config={"mailbox": self.mailbox, "factory": self.factory},
            torch_config=TorchConfig(backend=backend, timeout_s=int(self.collective_timeout)),
            scaling_config=ray.train.ScalingConfig(
                num_workers=self.size.workers, use_gpu=bool(self.size.gpus), resources_per_worker=resources
            ),
            run_config=quiet_run(self.storage),
        )

    def fit(self, trainer: TorchTrainer) -> None:
        """The body of the thread in which the trainer runs."""
        try:
            trainer.fit()
        except BaseException as error:
            self.error = error

    @property
    def processes(self) -> list[dict[str, Any]]:
        """The processes of the ranks."""
        return [greeting["process"] for greeting in self.greetings]

    @property
    def placement_group(self) -> Any:
        """What holds the resources of the workers; None before they are there."""
        return self.greetings[0]["placement_group"] if self.greetings else None

    def begin(self, assignment: dict[str, Any]) -> Report | None:
        """Open a run on all ranks; None, or how opening it failed."""
        return self.command("begin", assignment)

    def next(self, most: int = 1) -> Report:
        """Advance all ranks in lockstep (see `Engine.next`); the report is rank 0's."""
        report = self.command("next", most)
        if report is None:
            raise GroupLost("a rank answered nothing")
        return report

    def command(self, name: str, argument: Any) -> Report | None:
        """Have all ranks carry out a command.

        An end that all ranks agree on is the run's. Where one rank tells an end and the others do not answer or tell
        another thing, the run has ended as well, but the group is out of step and is given up. So it is where a rank
        has lost its run to the storage, whatever that did to the others.
        """
        replies: list[Reply] = self.wait(self.mailbox.exchange.remote(name, argument, 5.0), None)
        faults = [reply.fault for reply in replies if reply.fault is not None]
        ends = [reply.report for reply in replies if reply.report is not None and reply.report.kind == "ended"]
        ends.sort(key=lambda report: report.state != STORAGE_LOST)
        if faults and not (ends and ends[0].state == STORAGE_LOST):
            raise GroupLost("; ".join(faults))
        if ends and len(ends) < self.size.workers:
            self.abandon()
            return ends[0]
        kinds = {(reply.report.kind, reply.report.epoch) for reply in replies if reply.report is not None}
        if not ends and len(kinds) > 1:
            raise GroupLost(f"the ranks are at different yields: {sorted(kinds)}")
        return ends[0] if ends else replies[0].report

    def wait(self, answer: Any, patience: float | None) -> Any:
        """The value of `answer`, as long as the trainer lives and for at most `patience` seconds."""
        deadline = None if patience is None else time.monotonic() + patience
        while True:
            ready, _ = ray.wait([answer], timeout=0.5)
            if ready:
                return ray.get(answer)
            if not self.alive:
                raise GroupLost(f"the worker group ended: {self.error}")
            if deadline is not None and time.monotonic() > deadline:
                raise GroupLost(f"the workers were not there within {patience:.0f} s")

    @property
    def alive(self) -> bool:
        """Whether the trainer still runs."""
        return self.thread is not None and self.thread.is_alive()

    def close(self, patience: float = 10.0) -> None:
        """End the workers, kindly for `patience` seconds, then by force. Safe to call twice."""
        if self.alive and self.greetings:
            self.mailbox.exchange.remote("quit", None, 0.0)
            assert self.thread is not None
            self.thread.join(patience)
        self.abandon()

    def abandon(self) -> None:
        """Give the workers up without their help."""
        remove_placement_group(self.placement_group)
        if self.mailbox is not None:
            ray.kill(self.mailbox)
        self.mailbox, self.thread, self.greetings = None, None, []


def remove_placement_group(group: Any) -> None:
    """Free what a group holds, which ends its workers; nothing happens if that was done before.

    Train's own cleaner does the same some seconds later, but it asks the dashboard's State API, which gives up when
    another Ray runs on the host.
    """
    if group is not None:
        ray.util.remove_placement_group(group)
