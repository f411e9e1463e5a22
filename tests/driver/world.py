"""A sweep in a world of faults: seeded schedules over the real driver, event log and stopping rule.

`simulate(seed)` runs one schedule to its end and raises AssertionError where a promise of the driver is broken.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from raycon.config import StopEarly, Sweep
from raycon.driver import Driver
from raycon.driver_contract import Assignment, Finished, Opener, Sampler, Wait
from raycon.errors import RayconError, Refused
from raycon.events import EventLog, parse
from raycon.history import SweepHistory
from tests.driver.simulated import Crash, SimulatedClock, SimulatedDisk

ACCURACY, ALIGNMENT = "validation/linear_probe/accuracy", "validation/geometry/alignment"
FOLDER, STORAGE = Path("/out/sweep"), Path("/storage/sweep")
CASES = 80


def number_of(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


@dataclass(frozen=True)
class Case:
    """A sweep with the behaviour of its runs: all that the outcome may depend on."""

    seed: int
    sweep: Sweep
    epochs: int
    score_every: int
    trouble: float

    @classmethod
    def draw(cls, seed: int) -> Case:
        """Case number `seed`."""
        chance = random.Random(seed)
        several = chance.random() < 0.3
        stop = (
            StopEarly(after=chance.choice([1, 2]), reduction=chance.choice([2, 3])) if chance.random() < 0.7 else None
        )
        sweep = Sweep(
            maximize=(ACCURACY,),
            minimize=(ALIGNMENT,) if several else (),
            gate=ACCURACY if several and stop else None,
            trials=chance.randint(3, 9),
            lag=chance.randint(0, 4),
            stop_early=stop,
            retries=chance.randint(1, 3),
            seed=seed,
            startup=2,
        )
        return cls(seed, sweep, chance.randint(1, 6), chance.choice([1, 1, 2]), chance.choice([0.0, 0.3]))

    def metrics(self, x: float, epoch: int) -> dict[str, float]:
        """What epoch `epoch` of the run with value `x` reports, on whatever worker."""
        found = {"train/objective/total": number_of(self.seed, x, epoch, "loss")}
        if epoch % self.score_every == 0 or epoch == self.epochs:
            found[ACCURACY] = 0.7 * number_of(x) + 0.1 * number_of(x, epoch) + 0.2 * epoch / self.epochs
            found[ALIGNMENT] = number_of(x, epoch, "alignment")
        if self.fate(x) == ("nan", epoch):
            found[ACCURACY] = math.nan
        return found

    def fate(self, x: float) -> tuple[str, int]:
        """What goes wrong with the run by its own nature, and at which epoch."""
        if number_of(self.seed, x, "trouble") >= self.trouble:
            return "none", 0
        kind = random.Random(repr(x)).choice(["nan", "diverged", "out_of_memory", "failed", "always_lost"])
        return kind, 1 + int(number_of(x, "when") * self.epochs)


class FakeSpace:
    """One hole; the configuration repeats its value."""

    def __init__(self, case: Case):
        self.case = case

    def trial(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"objective": dict(values), "training": {"epochs": self.case.epochs}, "seeds": {"init": 0}}

    def canonical(self) -> dict[str, Any]:
        return {"trial": {"training": {"epochs": self.case.epochs}}, "sweep": {"seed": self.case.seed}}


class FakeSampler:
    """Its answers depend on everything that it was told and on what is pending; it checks what it is told."""

    def __init__(self, case: Case):
        self.case = case
        self.asked: list[dict[str, Any]] = []
        self.told: list[object] = []
        self.check: Callable[[], None] = lambda: None

    def ask(self, number: int) -> dict[str, Any]:
        assert number == len(self.asked), f"asked {number} where {len(self.asked)} was due"
        assert len(self.told) == max(0, number - self.case.sweep.lag), f"ask {number} sees {len(self.told)} results"
        values = {"x": number_of(self.case.seed, number, self.told, self.asked)}
        self.asked.append(values)
        return values

    def restore(self, number: int, values: dict[str, Any]) -> None:
        assert number == len(self.asked), f"restored {number} where {len(self.asked)} was due"
        self.asked.append(values)

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        assert number == len(self.told), f"told {number} where {len(self.told)} was due"
        assert (values is not None) == (state == "complete")
        assert all(math.isfinite(value) for value in [*(values or []), *intermediate.values()])
        assert state in ("complete", "pruned") or not intermediate
        self.told.append((number, state, values, sorted(intermediate.items())))
        self.check()


@dataclass
class Worker:
    """A worker at work on an assignment, about to report `epoch`."""

    assignment: Assignment
    epoch: int


@dataclass(frozen=True)
class Message:
    """A result under way."""

    key: str
    epoch: int
    metrics: dict[str, float]
    checkpoint: str | None
    done: bool
    attempt: int
    try_: int


@dataclass
class Faults:
    """How often what goes wrong. All zero: an undisturbed world."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    after_stop: float = 0.0
    crashes: int = 0
    full_disk: float = 0.0
    wiped: float = 0.0
    smaller_first: float = 0.0
    storage: float = 0.0

    @classmethod
    def draw(cls, chance: random.Random) -> Faults:
        """A mixture; each fault is absent in some schedules."""

        def rate(most: float) -> float:
            return most * chance.random() if chance.random() < 0.7 else 0.0

        return cls(
            rate(0.25), rate(0.4), rate(0.4), rate(0.5), chance.randint(0, 8), rate(0.3), rate(0.4), 0.4, rate(0.1)
        )


@dataclass
class World:
    """One schedule. `make_driver`, `make_log` and `make_sampler` may be replaced, to see that faults are noticed."""

    case: Case
    seed: int
    slots: int
    faults: Faults
    mirrored: bool = False
    make_driver: Callable[..., Driver] = Driver
    make_log: Callable[..., EventLog] = EventLog
    make_sampler: Callable[[Case], Sampler] = FakeSampler
    make_space: Callable[[Case], Any] = FakeSpace
    keys: dict[int, str] = field(default_factory=dict)
    answered: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)
    checkpoints: set[str] = field(default_factory=set)
    attempts: set[int] = field(default_factory=set)
    crashes: int = 0
    wiped: bool = False
    mirror_failed: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.disk = SimulatedDisk(self.seed + 1)
        self.clock = SimulatedClock(self.seed + 2)
        self.late: list[Message] = []
        self.workers: list[Worker] = []

    def run(self) -> SweepHistory:
        """Start the same command until the sweep is finished, check the log, and give back what it says."""
        wanted = self.case.sweep.trials
        trials = self.chance.randint(1, wanted) if self.chance.random() < self.faults.smaller_first else wanted
        for _ in range(200):
            try:
                self._plan_crash()
                self._attempt(trials)
                if trials == wanted:
                    break
                trials = wanted
            except Crash:
                self._crash()
            except RayconError as error:
                assert "No space left" in str(error), error
                self._crash(power=False)
            except OSError:
                self._crash(power=False)
        else:
            raise AssertionError("the sweep does not come to an end")
        self.disk.kill()
        self._check_no_op()
        return self._check_log()

    def _plan_crash(self) -> None:
        if self.crashes < self.faults.crashes:
            self.disk.crash_at = self.disk.steps + 1 + int(self.chance.expovariate(1 / 60))
            if self.chance.random() < self.faults.full_disk:
                self.disk.fail_at = self.disk.steps + 1 + int(self.chance.expovariate(1 / 40))

    def _crash(self, power: bool | None = None) -> None:
        self.crashes += 1
        if self.chance.random() < 0.5 if power is None else power:
            self.disk.cut_power()
            if self.mirrored and self.chance.random() < self.faults.wiped:
                self.disk.wipe(FOLDER)
                self.wiped = True
        else:
            self.disk.kill()
        for worker in self.workers:
            self._leave_behind(worker)
        self.workers.clear()

    def _driver(self, trials: int, identity: str = "identity") -> Driver:
        mirror = STORAGE / "events.jsonl" if self.mirrored else None
        log = self.make_log(self.disk, FOLDER / "events.jsonl", mirror, clock=self.clock)
        sweep = replace(self.case.sweep, trials=trials)
        sampler = self.make_sampler(self.case)
        if isinstance(sampler, FakeSampler):
            sampler.check = self._check_durable
        space = self.make_space(self.case)
        return self.make_driver(
            sweep, "sweep", identity, space, sampler, log, str(STORAGE), to_plain=lambda trial: trial
        )

    def _attempt(self, trials: int) -> None:
        driver = self._driver(trials)
        driver.open(Opener("host", 100 + self.crashes, 5.0))
        self.mirror_failed = self.mirror_failed or driver.log.mirror_error is not None
        if not driver.history.finished:
            assert driver.attempt not in self.attempts or self.mirror_failed, "an attempt number is used twice"
            self.attempts.add(driver.attempt)
            driver.process(1000 + driver.attempt, 6.0, "worker", "host")
            assert all(process.attempt < driver.attempt for process in driver.processes())
        for _ in range(5000):
            driver.log.catch_up()
            if self._act(driver):
                driver.close()
                return
            if self.faults.crashes > self.crashes and self.chance.random() < 0.005:
                raise Crash
        raise AssertionError("the attempt does not come to an end")

    def _act(self, driver: Driver) -> bool:
        """One thing happens. True once the driver says that it has finished."""
        if self.late and self.chance.random() < 0.2:
            self._deliver_late(driver, self.late.pop(self.chance.randrange(len(self.late))))
            return False
        if (len(self.workers) < self.slots and self.chance.random() < 0.7) or not self.workers:
            work = driver.next()
            if isinstance(work, Finished):
                assert not self.workers, "finished while workers were at work"
                return True
            if isinstance(work, Assignment):
                self._take(driver, work)
            else:
                assert isinstance(work, Wait) and self.workers, "waits although nothing is under way"
            return False
        self._advance(driver, self.chance.choice(self.workers))
        return False

    def _take(self, driver: Driver, work: Assignment) -> None:
        self._check_durable()
        assert work.key not in {worker.assignment.key for worker in self.workers}, f"{work.key} is handed out twice"
        assert self.keys.setdefault(work.number, work.key) == work.key, f"run {work.number} has changed"
        assert work.resume is None or work.resume in self.checkpoints, f"{work.resume} was never written"
        json.dumps(work.plain(), allow_nan=False)
        begun = 0 if work.resume is None else int(work.resume.rsplit("-", 1)[1])
        self.workers.append(Worker(work, begun + 1))
        if self.chance.random() < 0.8:
            driver.started(work.key, work.try_)

    def _result(self, worker: Worker) -> Message:
        work = worker.assignment
        checkpoint = f"{work.folder}/attempt-{work.attempt}.{work.try_}/epoch-{worker.epoch}"
        kept = number_of(work.key, worker.epoch, "kept") < 0.7
        if kept:
            self.checkpoints.add(checkpoint)
        metrics = self.case.metrics(work.trial["objective"]["x"], worker.epoch)
        done = worker.epoch == self.case.epochs
        return Message(work.key, worker.epoch, metrics, checkpoint if kept else None, done, work.attempt, work.try_)

    def _advance(self, driver: Driver, worker: Worker) -> None:
        work = worker.assignment
        fate, when = self.case.fate(work.trial["objective"]["x"])
        run = driver.history.run(work.key)
        may_be_lost = fate != "always_lost" and len(run.losses) - run.storage_losses < self.case.sweep.retries
        if self.chance.random() < self.faults.storage:
            self._lose(driver, worker, storage=True)
        elif (may_be_lost and self.chance.random() < self.faults.lost) or (fate, when) == ("always_lost", worker.epoch):
            self._lose(driver, worker)
        elif fate in ("diverged", "out_of_memory", "failed") and when == worker.epoch:
            for _ in range(1 + (self.chance.random() < self.faults.doubled)):
                driver.ended(work.key, fate, "by its nature", attempt_try=work.try_)
            self._check_durable()
            self.workers.remove(worker)
        else:
            self._report(driver, worker)

    def _lose(self, driver: Driver, worker: Worker, *, storage: bool = False) -> None:
        work = worker.assignment
        self._leave_behind(worker)
        self.workers.remove(worker)
        requeue = self.chance.random() < 0.5
        for _ in range(1 + (self.chance.random() < self.faults.doubled)):
            how: dict[str, Any] = {"attempt_try": work.try_, "requeue": requeue, "storage": storage}
            answer = driver.lost(work.key, "node died", **how)
        self._check_durable()
        if answer == "retry" and not requeue:
            self._take(driver, driver.assignment(work.key))

    def _leave_behind(self, worker: Worker) -> None:
        """A worker that is thought dead may still report the epoch that it was at, if it could get through it."""
        _, when = self.case.fate(worker.assignment.trial["objective"]["x"])
        if when != worker.epoch and self.chance.random() < self.faults.late:
            self.late.append(self._result(worker))

    def _report(self, driver: Driver, worker: Worker) -> None:
        message = self._result(worker)
        decision = self._deliver(driver, message)
        if self.chance.random() < self.faults.doubled:
            again = self._deliver(driver, message)
            assert again == decision, f"{message.key} epoch {message.epoch}: {decision}, then {again}"
        if self.chance.random() < self.faults.late:
            self.late.append(message)
        worker.epoch += 1
        if decision == "stop":
            self.workers.remove(worker)
            if self.chance.random() < self.faults.after_stop and not message.done:
                assert self._deliver(driver, self._result(worker)) == "stop"
        else:
            assert not message.done, f"{message.key} goes on after its last epoch"

    def _deliver(self, driver: Driver, message: Message) -> str:
        decision = driver.scored(
            message.key,
            message.epoch,
            message.metrics,
            message.checkpoint,
            message.done,
            attempt_try=message.try_,
        )
        self._check_durable()
        run = driver.history.run(message.key)
        if message.epoch in run.epochs:
            self.answered[message.key, message.epoch] = run.epochs[message.epoch]
        return decision

    def _deliver_late(self, driver: Driver, message: Message) -> None:
        if message.key not in {run.key for run in driver.history.runs}:
            return  # nobody would listen: the run is not even known (its folder was lost)
        before = driver.history.run(message.key).finished
        decision = self._deliver(driver, message)
        assert decision == "stop" or not before, "a finished run goes on"
        for worker in [worker for worker in self.workers if driver.history.run(worker.assignment.key).finished]:
            assert driver.scored(worker.assignment.key, worker.epoch, {}) == "stop"
            self.workers.remove(worker)

    def _check_durable(self) -> None:
        """Whatever is acted upon must survive a power cut at this very moment."""
        waiting = self.disk.unsynced(FOLDER / "events.jsonl")
        kinds = waiting.count(b'"kind":"'), waiting.count(b'"kind":"started"')
        assert kinds[0] == kinds[1], f"acted upon an event that could be lost: {waiting.decode()}"

    def _check_no_op(self) -> None:
        """The same command again changes nothing; another search is refused."""
        before = self.disk.read(FOLDER / "events.jsonl")
        driver = self._driver(self.case.sweep.trials)
        driver.open(Opener("host", 1, 1.0))
        assert isinstance(driver.next(), Finished)
        driver.close()
        with pytest.raises(Refused):
            self._driver(self.case.sweep.trials, "another").open(Opener("host", 1, 1.0))
        assert self.disk.read(FOLDER / "events.jsonl") == before

    def _check_log(self) -> SweepHistory:
        data = self.disk.read(FOLDER / "events.jsonl")
        events, good = parse(data)
        assert good == len(data)
        if self.mirrored:
            assert self.disk.read(STORAGE / "events.jsonl") == data, "the mirror lags behind a finished sweep"
        times = [event.time for event in events]
        assert times == sorted(times)
        asked = [event["number"] for event in events if event.kind == "asked"]
        assert asked == list(range(self.case.sweep.trials)), f"asked {asked}"
        finished = [event["key"] for event in events if event.kind == "finished"]
        assert sorted(finished) == sorted(self.keys.values()), "not every run is finished exactly once"
        scored = [(event["key"], event["epoch"]) for event in events if event.kind == "scored"]
        assert len(scored) == len(set(scored)), "an epoch is scored twice"
        attempts = [event["attempt"] for event in events if event.kind == "opened"]
        assert attempts == sorted(set(attempts)), f"attempts {attempts}"
        history = SweepHistory.of(events)
        if not self.wiped:
            for (key, epoch), metrics in self.answered.items():
                assert same(history.run(key).epochs.get(epoch), metrics), (
                    f"epoch {epoch} of {key} was answered and lost"
                )
        assert history.finished
        return history


def outcome(history: SweepHistory) -> list[object]:
    """All of a finished sweep that must not depend on what happened on the way."""
    return [
        (run.number, run.key, run.values, run.trial, run.state, run.final_epoch, repr(run.metrics), repr(run.epochs))
        for run in history.runs
    ]


def same(one: object, other: object) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(one) == repr(other)


@functools.cache
def case_of(number: int) -> Case:
    """Case `number`, with a limited number of them so that the undisturbed outcomes are computed once."""
    return Case.draw(number % CASES)


@functools.cache
def undisturbed(
    number: int,
    make_sampler: Callable[[Case], Sampler] = FakeSampler,
    make_space: Callable[[Case], Any] = FakeSpace,
) -> list[object]:
    """The outcome of a case on one slot in a world without faults."""
    return outcome(World(case_of(number), 0, 1, Faults(), make_sampler=make_sampler, make_space=make_space).run())


def disturbed(seed: int, **replaced: Any) -> World:
    """The world of schedule `seed`."""
    chance = random.Random(seed)
    mirrored = chance.random() < 0.4
    return World(case_of(seed % CASES), seed, chance.randint(1, 4), Faults.draw(chance), mirrored, **replaced)


def simulate(seed: int, **replaced: Any) -> World:
    """Run schedule `seed` and compare its outcome with the undisturbed one."""
    world = disturbed(seed, **replaced)
    found = outcome(world.run())
    expected = undisturbed(seed % CASES, world.make_sampler, world.make_space)
    assert found == expected, f"schedule {seed}: the outcome depends on the faults"
    return world
