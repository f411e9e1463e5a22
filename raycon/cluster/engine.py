"""The worker engine: opens the run of one assignment after another in one process and advances it yield by yield.

One engine runs on each rank. All ranks get the same commands in the same order, and between two commands every rank is
suspended at the same yield with no collective under way. So a run can be stopped, saved or replaced between any two.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, cast

from raycon.checkpoint_storage import StorageLost, checkpoint_place, earlier_place, local_copy, written_to
from raycon.checkpoints import DamagedCheckpoint
from raycon.errors import Diverged, RayconError
from raycon.runs import Progress, Run, RunFactory, Scored, World

COMMUNICATION = re.compile(r"gloo|nccl|connection|broken pipe|timed out|process group|peer", re.IGNORECASE)

STORAGE_LOST = "storage_lost"
"""The state that an engine tells of a run whose storage failed: it is a loss, and no end."""

SILENCE = 1.0
"""Seconds between two signs of life of a run."""

OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What an engine tells of a run: a sign of life, a scored epoch, or that the run has ended by its own fault.

    `state` and `reason` are set for `ended` only; `checkpoint` is the folder or URI saved at this epoch, if one was
    due.
    """

    kind: Literal["progress", "scored", "ended"]
    epoch: int = 0
    step: int = 0
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    done: bool = False
    state: str | None = None
    reason: str | None = None

    def plain(self) -> dict[str, Any]:
        """The report as a dict of plain values."""
        return asdict(self)


def ended(state: str, reason: str) -> Report:
    """The report of a run that its own configuration or numbers brought to an end."""
    return Report(kind="ended", done=True, state=state, reason=reason)


def load_factory(name: str) -> RunFactory:
    """The run factory that `package.module:function` names."""
    module, _, attribute = name.partition(":")
    return cast(RunFactory, getattr(importlib.import_module(module), attribute))


def fault_of(error: Exception, workers: int) -> Report | None:
    """What an exception of a run means: the end of the run, or None where the group or the machine is to blame.

    The same configuration would fail again, so such a run is not retried. With several workers a RuntimeError that
    speaks of communication comes from a lost peer; an OSError comes from a disk. Both are worth another try. What comes
    from the storage is told as such, so that it is waited for.
    """
    torch = sys.modules.get("torch")
    out_of_memory: tuple[type[BaseException], ...] = (MemoryError,)
    if torch is not None:
        out_of_memory += (torch.OutOfMemoryError,)
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, StorageLost):
        return ended(STORAGE_LOST, reason)
    if isinstance(error, Diverged):
        return ended("diverged", str(error))
    if isinstance(error, out_of_memory) or OUT_OF_MEMORY.search(reason):
        return ended("out_of_memory", reason)
    if isinstance(error, RayconError):
        return ended("failed", str(error))
    if isinstance(error, OSError):
        return None
    if workers > 1 and isinstance(error, RuntimeError) and COMMUNICATION.search(reason):
        return None
    return ended("failed", reason)


class Engine:
    """Runs any generator factory, one assignment after another; nothing of a run outlives the next `begin`.

    `factory` is a callable or its name, 'package.module:function'. Every method returns the faults of the run as an
    `ended` report; only what is not the run's fault is raised. `resumed`: the checkpoint that the run in progress goes
    on from, which may be an older one than was asked for.
    """

    def __init__(self, factory: str | RunFactory, world: World):
        self.world = world
        self.factory = load_factory(factory) if isinstance(factory, str) else factory
        self.process_state = ProcessState()
        self.assignment: dict[str, Any] = {}
        self.run: Run | None = None
        self.resumed: str | None = None
        # What the imports left behind lives as long as the process, and a collection need not look at it again.
        gc.collect()
        gc.freeze()

    def begin(self, assignment: dict[str, Any]) -> Report | None:
        """Drop the run in progress and open that of `assignment`; None, or how opening it failed.

        A run whose checkpoint has been damaged goes on from the one before it, or begins again at its first epoch.
        """
        self.close()
        self.process_state.restore()
        self.assignment = assignment
        try:
            self.run = self.opened(assignment)
        except Exception as error:
            return self.fail(error)
        return None

    def opened(self, assignment: dict[str, Any]) -> Run:
        """The run of an assignment, from the newest of its checkpoints that turns out to be whole."""
        place = assignment.get("resume")
        while True:
            try:
                with local_copy(place) as resume:
                    run = self.factory({**assignment, "resume": resume}, self.world)
                self.resumed = place
                return run
            except DamagedCheckpoint:
                if place is None:
                    raise
                place = earlier_place(place)

    def next(self, most: int = 1) -> Report:
        """Advance to the next scored epoch, or over at most `most` yields; the last yield is reported.

        A run whose events end without a last `Scored(done=True)` is reported as failed.
        """
        if self.run is None:
            raise RuntimeError("no run is open")
        try:
            event = self.advance(self.run.events, most)
            if isinstance(event, Progress):
                return Report("progress", event.epoch, event.step, event.steps, dict(event.metrics))
            return Report("scored", event.epoch, 0, 0, dict(event.metrics), self.save_if_due(event), event.done)
        except StopIteration:
            return ended("failed", "the run's events ended without a last scored epoch")
        except Exception as error:
            return self.fail(error)

    @staticmethod
    def advance(events: Iterator[Progress | Scored], most: int) -> Progress | Scored:
        """The last of at most `most` events, none after a Scored."""
        event = next(events)
        for _ in range(most - 1):
            if isinstance(event, Scored):
                break
            event = next(events)
        return event

    def fail(self, error: Exception) -> Report:
        """The `ended` report for `error`, or `error` raised again where it is not the run's fault."""
        report = fault_of(error, self.world.size)
        # The traceback holds the frames of the run, and with them its tensors.
        error.__traceback__ = None
        self.close()
        if report is None:
            raise error
        return report

    def save_if_due(self, event: Scored) -> str | None:
        """Save at every `checkpoint_every`-th epoch and at the last one; the folder or URI, or None if none was due."""
        every = int(self.assignment["trial"].get("training", {}).get("checkpoint_every", 1))
        if self.run is None or not (event.done or event.epoch % every == 0):
            return None
        place = checkpoint_place(self.assignment["folder"], int(self.assignment["attempt"]), event.epoch)
        with written_to(place) as folder:
            self.run.save(folder)
        return place

    def close(self) -> None:
        """Drop the run in progress, its generator first, and give its memory back. Safe to call twice."""
        run, self.run, self.assignment, self.resumed = self.run, None, {}, None
        if run is None:
            return
        with contextlib.suppress(Exception):
            close = getattr(run.events, "close", None)
            if close is not None:
                close()
            run.close()
        del run
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


class ProcessState:
    """Settings that belong to the process and not to a run: taken before the first run, put back before each one.

    torch is looked up, never imported: a factory that does without it costs no import.
    """

    def __init__(self) -> None:
        self.restorers: list[Callable[[], None]] = []
        if "torch" in sys.modules:
            self.remember_torch(sys.modules["torch"])

    def remember_torch(self, torch: Any) -> None:
        """Remember every flag of torch that changes the numbers of a run or where they are computed."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        for owner, name in (
            (cudnn, "enabled"),
            (cudnn, "benchmark"),
            (cudnn, "deterministic"),
            (cudnn, "allow_tf32"),
            (matmul, "allow_tf32"),
        ):
            self.remember(partial(setattr, owner, name), getattr(owner, name))
        self.remember(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        self.remember(torch.set_default_dtype, torch.get_default_dtype())
        self.remember(torch.set_num_threads, torch.get_num_threads())
        self.remember(torch.set_grad_enabled, torch.is_grad_enabled())
        self.remember(torch.autograd.set_detect_anomaly, torch.is_anomaly_enabled())
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        deterministic = partial(torch.use_deterministic_algorithms, warn_only=warn_only)
        self.remember(deterministic, torch.are_deterministic_algorithms_enabled())
        for device in ("cpu", "cuda"):
            self.remember(partial(torch.set_autocast_enabled, device), torch.is_autocast_enabled(device))
            self.remember(partial(torch.set_autocast_dtype, device), torch.get_autocast_dtype(device))
        self.remember(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())

    def remember(self, put: Callable[[Any], Any], value: Any) -> None:
        """Have `put(value)` called at each `restore`."""
        self.restorers.append(lambda: put(value))

    def restore(self) -> None:
        """Put every setting back and the global generators to a fixed state (the draws of runs do not use them)."""
        torch = sys.modules.get("torch")
        if torch is not None and not self.restorers:
            self.remember_torch(torch)
        for restore in self.restorers:
            restore()
        random.seed(0)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(0)
        if torch is not None:
            torch.manual_seed(0)
        dynamo = sys.modules.get("torch._dynamo")
        if dynamo is not None:
            # Graphs compiled for earlier runs count against the limit of recompilations.
            dynamo.reset()


class Pace:
    """How many yields one command may cover, so that commands take about half a second whatever a step costs."""

    def __init__(self, target: float = 0.5, most: int = 256):
        self.target, self.limit, self.most = target, most, 1

    def took(self, seconds: float) -> None:
        """Adapt to a command of `most` yields that took `seconds`."""
        if seconds > 2 * self.target:
            self.most = max(1, self.most // 2)
        elif seconds < self.target / 2:
            self.most = min(self.limit, self.most * 2)


def advance_until(advance: Callable[[int], Report], pace: Pace, silence: float) -> Report:
    """Advance until a report that is not progress, or until progress after at least `silence` seconds."""
    start = time.monotonic()
    while True:
        before = time.monotonic()
        report = advance(pace.most)
        now = time.monotonic()
        if report.kind != "progress":
            return report
        pace.took(now - before)
        if now - start >= silence:
            return report
