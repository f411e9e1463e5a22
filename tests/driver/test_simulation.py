"""Thousands of sweeps under seeded faults, and proof that a driver with a fault in it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raycon import events, mirror
from raycon.cluster.sampling import OptunaSampler
from raycon.disk import Disk
from raycon.driver import Driver
from raycon.driver_contract import Decision
from raycon.events import EventLog, plain_metrics
from raycon.history import RunRecord
from raycon.mirror import Mirror
from raycon.space.holes import Hole
from raycon.stopping import goes_on, value_at
from tests.driver.simulated import SimulatedDisk
from tests.driver.world import (
    ACCURACY,
    Case,
    FakeSampler,
    Faults,
    World,
    case_of,
    number_of,
    outcome,
    simulate,
    undisturbed,
)

QUICK, ALL, REAL = 300, 2400, 20
SABOTAGE = 400


@pytest.fixture(autouse=True)
def a_storage_that_is_often_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the simulated clock writing takes seconds; with little in hand the mirror is added to and written whole."""
    monkeypatch.setattr(mirror, "MIRROR_BURST", 20.0)


def test_no_fault_changes_the_outcome() -> None:
    worlds = [simulate(seed) for seed in range(QUICK)]
    assert sum(world.crashes for world in worlds) > QUICK
    assert sum(world.wiped for world in worlds) > QUICK / 50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_fault_changes_the_outcome_in_thousands_of_schedules() -> None:
    for seed in range(QUICK, ALL):
        simulate(seed)


def test_the_cases_hold_every_kind_of_end() -> None:
    found = {record[4] for number in range(40) for record in undisturbed(number)}  # type: ignore[index]
    assert found == {"complete", "pruned", "diverged", "out_of_memory", "failed"}


class OneCrash(World):
    """A world whose only fault is a crash at one step of the disk; `power` says whether the machine dies with it."""

    step = 0
    power = False

    def _plan_crash(self) -> None:
        self.disk.crash_at = None if self.crashes else self.step

    def _crash(self, power: bool | None = None) -> None:
        super()._crash(self.power)


@pytest.mark.parametrize("mode", ["killed", "power cut", "machine lost"])
def test_a_crash_at_every_write_fsync_and_rename_is_survived(mode: str) -> None:
    number = next(n for n in range(80) if case_of(n).sweep.trials == 5 and case_of(n).epochs == 4)
    faults = Faults(wiped=1.0 if mode == "machine lost" else 0.0)
    step, crashed = 0, True
    while crashed:
        step += 1
        world = OneCrash(case_of(number), step, 2, faults, mirrored=True)
        world.step, world.power = step, mode != "killed"
        assert outcome(world.run()) == undisturbed(number), f"{mode} at step {step}"
        crashed = world.crashes == 1
    assert step > 200


@dataclass(frozen=True)
class Filled:
    values: dict[str, Any]


class SearchSpace:
    """Conditional holes, for the real sampler."""

    first = ({"kind": "b", "rate": 0.01, "depth": 2},)

    def __init__(self, case: Case):
        self.case = case
        self.holes = {
            "kind": Hole("choice", options=("a", "b")),
            "rate": Hole("log_uniform", 0.001, 1.0),
            "depth": Hole("integer", 1, 4),
        }

    def fill(self, suggest: Callable[[str, Hole], Any]) -> Filled:
        values = {path: suggest(path, self.holes[path]) for path in ("kind", "rate")}
        if values["kind"] == "b":
            values["depth"] = suggest("depth", self.holes["depth"])
        return Filled(values)

    def trial(self, values: dict[str, Any]) -> dict[str, Any]:
        x = number_of(sorted(values.items()))
        return {"objective": {"x": x}, "training": {"epochs": self.case.epochs}, "seeds": {}}

    def canonical(self) -> dict[str, Any]:
        return {"trial": "search", "sweep": {"seed": self.case.seed}}


def real_sampler(case: Case) -> OptunaSampler:
    return OptunaSampler(SearchSpace(case), case.sweep)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_fault_changes_what_tpe_asks() -> None:
    for seed in range(REAL):
        simulate(seed, make_sampler=real_sampler, make_space=SearchSpace)


def test_tpe_survives_a_few_schedules() -> None:
    for seed in (7, 25, 31):
        simulate(seed, make_sampler=real_sampler, make_space=SearchSpace)


class AskedNotSynced(EventLog):
    def sync(self, *, mirror: bool = False) -> None:
        if self.read()[-1].kind != "asked":
            super().sync(mirror=mirror)


class FinishedNotSynced(EventLog):
    def sync(self, *, mirror: bool = False) -> None:
        if self.read()[-1].kind != "finished":
            super().sync(mirror=mirror)


class NeverFetched(EventLog):
    def _fetch(self, mirror: Mirror, log: bytes) -> bytes:
        return b""


class CountsTwice(Driver):
    def scored(
        self, key: str, epoch: int, metrics: Any, checkpoint: Any = None, done: bool = False, **more: Any
    ) -> Decision:
        run = self.history.run(key)
        if not run.finished and epoch in run.epochs:
            self.log.append(
                "scored", key=key, epoch=epoch, metrics=plain_metrics(metrics), checkpoint=checkpoint, done=done
            )
            self.log.sync()
        return super().scored(key, epoch, metrics, checkpoint, done, **more)


class GoesOnAfterTheEnd(Driver):
    def scored(self, key: str, *more: Any, **named: Any) -> Decision:
        finished = self.history.run(key).finished
        return "continue" if finished else super().scored(key, *more, **named)


class HearsTheDead(Driver):
    def _is_stale(self, run: RunRecord, attempt_try: int | None) -> bool:
        return False


class NeverSettles(Driver):
    def _settle(self, run: RunRecord) -> None:
        if self._told or self.log.read()[-1].kind != "opened":
            super()._settle(run)


class TellsAtOnce(Driver):
    def _tell_up_to(self, count: int) -> None:
        count = max(0, count)
        while count < len(self.history.runs) and self.history.runs[count].finished:
            count += 1
        super()._tell_up_to(count)


class Uncritical(FakeSampler):
    """Does not check how much it has been told."""

    def ask(self, number: int) -> dict[str, Any]:
        self.asked.append({"x": number_of(self.case.seed, number, self.told)})
        return self.asked[-1]


class ComparesWithAll(Driver):
    def _stopping_rung(self, run: RunRecord) -> int | None:
        rule = self.sweep.stop_early
        if rule is None or run.last_epoch != rule.after:
            return super()._stopping_rung(run)
        others = [other for other in self.history.runs if other is not run and other.last_epoch >= rule.after]
        values = [value_at(rule.after, other.course(ACCURACY)) for other in others]
        own = value_at(rule.after, run.course(ACCURACY))
        known = [value for value in values if value is not None]
        stops = own is not None and not goes_on(own, known, rule.reduction, higher_is_better=True)
        return rule.after if stops and run.last_epoch < run.total_epochs else None


class ForgetsCheckpoints(Driver):
    def assignment(self, key: str) -> Any:
        from dataclasses import replace

        found = super().assignment(key)
        return found if found.resume is None else replace(found, resume=found.resume.replace("epoch-1", "epoch-2"))


@pytest.mark.parametrize(
    "sabotage",
    [
        {"make_log": AskedNotSynced},
        {"make_log": FinishedNotSynced},
        {"make_log": NeverFetched},
        {"make_driver": CountsTwice},
        {"make_driver": GoesOnAfterTheEnd},
        {"make_driver": HearsTheDead},
        {"make_driver": NeverSettles},
        {"make_driver": TellsAtOnce},
        {"make_driver": TellsAtOnce, "make_sampler": Uncritical},
        {"make_driver": ComparesWithAll},
        {"make_driver": ForgetsCheckpoints},
    ],
    ids=lambda sabotage: "-".join(part.__name__ for part in sabotage.values()),
)
def test_a_sabotaged_driver_is_noticed(sabotage: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        for seed in range(SABOTAGE):
            simulate(seed, **sabotage)


def test_a_torn_tail_that_is_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "truncate", lambda disk, path, length: None)
    with pytest.raises(AssertionError):
        for seed in range(SABOTAGE):
            simulate(seed)


def test_a_rename_before_the_content_is_synced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(disk: Disk, path: Path, data: bytes, *, draft: str = "") -> None:
        disk.write(path.with_name("partial"), data)
        disk.replace(path.with_name("partial"), path)

    for module in (events, mirror):
        monkeypatch.setattr(module, "write_durably", careless)
    with pytest.raises(AssertionError):
        for seed in range(SABOTAGE):
            simulate(seed)


def test_the_schedules_differ() -> None:
    assert len({repr(case_of(number)) for number in range(30)}) == 30
