"""The worker engine, without Ray."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from raycon.checkpoints import DamagedCheckpoint, is_sound
from raycon.cluster.engine import Engine, Pace, Report, advance_until, fault_of
from raycon.cluster.overhead import ACCURACY, open_idle_run
from raycon.errors import Diverged, InvalidFile
from raycon.runs import Progress, Scored, World


def make_assignment(folder: Path, **changes: Any) -> dict[str, Any]:
    trial = {"training": {"epochs": 3}, "idle": {"steps": 3, **changes.pop("idle", {})}, **changes.pop("trial", {})}
    return {
        "key": "0000-x",
        "number": 0,
        "attempt": 1,
        "try": 1,
        "trial": trial,
        "folder": str(folder),
        "resume": None,
        **changes,
    }


def finish(engine: Engine, assignment: dict[str, Any]) -> list[Report]:
    failure = engine.begin(assignment)
    reports = [failure] if failure else [engine.next()]
    while not reports[-1].done:
        reports.append(engine.next())
    return reports


def test_reports_come_in_order_and_checkpoints_are_saved(tmp_path: Path) -> None:
    reports = finish(Engine(open_idle_run, World()), make_assignment(tmp_path))
    assert [report.kind for report in reports] == ["progress", "progress", "scored"] * 3
    scored = [report for report in reports if report.kind == "scored"]
    assert [report.epoch for report in scored] == [1, 2, 3]
    assert [report.done for report in scored] == [False, False, True]
    assert [report.checkpoint for report in scored] == [
        str(tmp_path / "attempt-1" / f"epoch-{epoch:04d}") for epoch in (1, 2, 3)
    ]
    assert all(is_sound(Path(report.checkpoint or "")) for report in scored)


def test_checkpoint_every_and_the_last_epoch(tmp_path: Path) -> None:
    trial = {"training": {"epochs": 5, "checkpoint_every": 3}}
    reports = finish(Engine(open_idle_run, World()), make_assignment(tmp_path, trial=trial))
    assert [report.epoch for report in reports if report.checkpoint] == [3, 5]


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    engine = Engine(open_idle_run, World())
    whole = finish(engine, make_assignment(tmp_path / "whole"))
    saved = whole[2].checkpoint
    rest = finish(engine, make_assignment(tmp_path / "rest", resume=saved, attempt=2))
    assert [r.metrics[ACCURACY] for r in rest if r.kind == "scored"] == [
        r.metrics[ACCURACY] for r in whole if r.kind == "scored"
    ][1:]


@pytest.mark.parametrize(
    ("fault", "state"), [("diverged", "diverged"), ("memory", "out_of_memory"), ("value", "failed")]
)
def test_faults_of_a_run_are_told_not_raised_and_the_next_run_is_untouched(
    tmp_path: Path, fault: str, state: str
) -> None:
    engine = Engine(open_idle_run, World())
    reports = finish(engine, make_assignment(tmp_path, idle={"fault": {"2": fault}}))
    assert reports[-1].kind == "ended" and reports[-1].state == state and reports[-1].reason
    assert [report.epoch for report in reports if report.kind == "scored"] == [1]
    assert finish(engine, make_assignment(tmp_path / "next"))[-1].done


def test_a_run_that_cannot_be_opened_fails(tmp_path: Path) -> None:
    def refuse(assignment: dict[str, Any], world: World) -> Any:
        raise InvalidFile("no such data set", field="data.dataset")

    failure = Engine(refuse, World()).begin(make_assignment(tmp_path))
    assert failure is not None and failure.state == "failed" and failure.reason == "data.dataset: no such data set"


def test_faults_of_the_machine_are_raised() -> None:
    assert fault_of(OSError("no space left on device"), 1) is None
    assert fault_of(RuntimeError("[gloo] Connection closed by peer"), 2) is None
    assert fault_of(RuntimeError("[gloo] Connection closed by peer"), 1) is not None
    assert fault_of(RuntimeError("shapes (2x3 and 4x5) do not fit"), 2) is not None
    diverged = fault_of(Diverged("the loss", epoch=2, step=3), 2)
    assert diverged is not None and diverged.reason == "the loss is not finite at epoch 2, step 3"
    full = fault_of(torch.OutOfMemoryError("tried to allocate 20 GiB"), 2)
    assert full is not None and full.state == "out_of_memory"


def test_a_damaged_checkpoint_sends_the_run_back_to_its_start(tmp_path: Path) -> None:
    def factory(assignment: dict[str, Any], world: World) -> Any:
        if assignment["resume"] is not None:
            raise DamagedCheckpoint("cut short")
        return open_idle_run(assignment, world)

    reports = finish(Engine(factory, World()), make_assignment(tmp_path, resume=str(tmp_path / "gone")))
    assert [report.epoch for report in reports if report.kind == "scored"] == [1, 2, 3]


class Holder:
    """A run that holds a large object, changes process-wide settings and draws from the global generators."""

    alive: ClassVar[weakref.WeakSet[Holder]] = weakref.WeakSet()

    def __init__(self) -> None:
        Holder.alive.add(self)
        self.cycle = self
        self.closed = False
        self.drawn = (random.random(), float(torch.rand(())))
        self.dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        torch.backends.cudnn.benchmark = True
        torch.set_autocast_enabled("cpu", True)
        torch.use_deterministic_algorithms(True)
        self.events = self.advance()

    def advance(self) -> Iterator[Progress | Scored]:
        yield Progress(1, 1, 2)
        yield Scored(1, {"first": self.drawn[0], "second": self.drawn[1]}, done=True)

    def save(self, folder: Path) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_nothing_of_a_run_outlives_the_next_begin(tmp_path: Path) -> None:
    engine = Engine(lambda assignment, world: Holder(), World())
    flags = (torch.get_default_dtype(), torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu"))
    drawn = []
    try:
        for _ in range(3):
            assert engine.begin(make_assignment(tmp_path)) is None
            gc.disable()
            assert len(Holder.alive) == 1
            assert isinstance(engine.run, Holder) and engine.run.dtype is torch.float32
            drawn.append(engine.next(2).metrics)
    finally:
        gc.enable()
        engine.close()
        engine.process_state.restore()
    assert drawn[0] == drawn[1] == drawn[2]
    assert not Holder.alive
    assert flags == (torch.get_default_dtype(), torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_command_never_goes_past_a_scored_epoch(tmp_path: Path) -> None:
    engine = Engine(open_idle_run, World())
    engine.begin(make_assignment(tmp_path))
    assert [(report.kind, report.epoch) for report in (engine.next(100) for _ in range(3))] == [
        ("scored", 1),
        ("scored", 2),
        ("scored", 3),
    ]
    assert engine.next().state == "failed"


def test_progress_is_told_only_after_a_silence() -> None:
    class Steps:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def next(self, most: int) -> Report:
            self.asked.append(most)
            return Report("progress" if len(self.asked) < 8 else "scored", epoch=1)

    steps = Steps()
    assert advance_until(steps.next, Pace(), silence=60).kind == "scored"
    assert steps.asked == [1, 2, 4, 8, 16, 32, 64, 128]
    assert advance_until(Steps().next, Pace(), silence=0).kind == "progress"


def test_pace_slows_down_for_long_steps() -> None:
    pace = Pace(target=0.5)
    for _ in range(20):
        pace.took(0.01)
    assert pace.most == 256
    pace.took(2.0)
    assert pace.most == 128
    pace.took(0.5)
    assert pace.most == 128
