"""Two heads that live at once and share one storage: exactly one goes on, the newer, and nothing of it is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from raycon import mirror
from raycon.driver import Driver
from raycon.driver_contract import Assignment, Finished, Opener
from raycon.errors import Refused
from raycon.events import DamagedLog, EventLog, parse
from raycon.history import SweepHistory
from raycon.mirror import Ending, FolderMirror, Follower, Judged, Mirror
from tests.driver.simulated import SimulatedClock, SimulatedDisk
from tests.driver.world import (
    STORAGE,
    Case,
    FakeSampler,
    FakeSpace,
    case_of,
    outcome,
    undisturbed,
)

QUICK, ALL, SABOTAGE = 60, 1500, 400
LOG = "events.jsonl"


class SharedDisk(SimulatedDisk):
    """A disk that runs an action before one of its steps, once."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.actions: dict[int, Callable[[], None]] = {}
        self.acting = False

    def _step(self) -> None:
        super()._step()
        action = None if self.acting else self.actions.pop(self.steps, None)
        if action is not None:
            self.acting = True
            action()
            self.acting = False


class Bucket:
    """Objects that are written whole: looking and writing are two requests, and anything may come in between."""

    def __init__(self, disk: SharedDisk):
        self.disk = disk

    def read(self, name: str) -> bytes | None:
        self.disk.makedirs(STORAGE)
        path = STORAGE / name
        return self.disk.read(path) if self.disk.exists(path) else None

    def write(self, name: str, data: bytes) -> None:
        self.disk.makedirs(STORAGE)
        self.disk.put(STORAGE / name, data)
        self.disk.makedirs(STORAGE)

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        found = self.read(name)
        if found is None or Ending.of(found) != ending:
            return False
        self.write(name, whole())
        return True


class Head:
    """A driver on a disk of its own, with one worker that does as it is told."""

    def __init__(self, name: str, case: Case, disk: SharedDisk, clock: SimulatedClock, make: Callable[..., Mirror]):
        self.name, self.case, self.log = name, case, Path(f"/{name}/sweep") / LOG
        log = EventLog(disk, self.log, make(disk), clock=clock)
        self.disk = disk
        sampler, space = FakeSampler(case), FakeSpace(case)
        self.driver = Driver(case.sweep, "sweep", "identity", space, sampler, log, "/storage", to_plain=lambda t: t)
        self.work: Assignment | None = None
        self.epoch = 0
        self.state = "waiting"

    def start(self) -> None:
        """Give the command on this head, if that has not been done."""
        if self.state == "waiting":
            self.state = "at work"
            self._guard(lambda: self.driver.open(Opener(self.name, 1, 1.0)))

    def act(self) -> None:
        """One thing happens there."""
        if self.state == "at work":
            self._guard(self._act)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused as error:
            assert "another driver has gone on" in str(error)
            self.state = "stopped"

    def _act(self) -> None:
        self.driver.log.catch_up()
        if self.work is None:
            work = self.driver.next()
            if isinstance(work, Finished):
                self.driver.close()
                self.state = "finished"
            if isinstance(work, Assignment):
                self.work, self.epoch = work, 1 + int((work.resume or "epoch-0").rsplit("-", 1)[1])
            return
        metrics = self.case.metrics(self.work.trial["objective"]["x"], self.epoch)
        done = self.epoch == self.case.epochs
        where = f"{self.work.folder}/attempt-{self.work.attempt}/epoch-{self.epoch}"
        decision = self.driver.scored(self.work.key, self.epoch, metrics, where, done, attempt_try=self.work.try_)
        self.epoch += 1
        if decision == "stop":
            self.work = None

    def to_the_end(self) -> None:
        for _ in range(3000):
            self.act()
        assert self.state != "at work"


def healthy(seed: int) -> int:
    """The number of a case whose runs are long enough, and end by themselves."""
    numbers = [n for n in range(80) if case_of(n).trouble == 0.0 and case_of(n).epochs >= 3 and _trials(n) >= 4]
    return numbers[seed % len(numbers)]


def _trials(number: int) -> int:
    return case_of(number).sweep.trials


def schedule(seed: int, make: Callable[..., Mirror]) -> tuple[Head, Head, SharedDisk]:
    """The old head works, the new one is given the same command at some moment, be it in the middle of a write of the
    old one, and the old one goes on meanwhile, be it in the middle of the opening of the new one."""
    chance = random.Random(seed)
    number = healthy(seed)
    case, disk, clock = case_of(number), SharedDisk(seed), SimulatedClock(seed)
    old, new = (Head(name, case, disk, clock, make) for name in ("old", "new"))
    old.start()
    for _ in range(chance.randint(0, 12)):
        old.act()
    if chance.random() < 0.5:
        disk.actions[disk.steps + chance.randint(1, 30)] = new.start
        for _ in range(chance.randint(1, 4)):
            old.act()
    disk.actions = {disk.steps + chance.randint(1, 40): old.act for _ in range(chance.randint(1, 6))}
    new.start()
    for _ in range(chance.randint(0, 60)):
        one, other = chance.sample([old, new], 2)
        disk.actions = {disk.steps + chance.randint(1, 10): other.act}
        one.act()
    disk.actions = {}
    for head in chance.sample([old, new], 2):
        head.to_the_end()
    assert _outcome(disk, new) == undisturbed(number)
    return old, new, disk


def _outcome(disk: SharedDisk, head: Head) -> list[object]:
    return outcome(SweepHistory.of(parse(disk.read(head.log))[0]))


def folder(disk: SharedDisk) -> Mirror:
    return FolderMirror(disk, STORAGE)


def check(seed: int, make: Callable[..., Mirror]) -> str:
    """Run a schedule; what became of the old head."""
    old, new, disk = schedule(seed, make)
    assert new.state == "finished", f"schedule {seed}: the newer driver did not go on"
    assert disk.read(STORAGE / LOG) == disk.read(new.log), f"schedule {seed}: the mirror is not the winner's log"
    attempts = [event["attempt"] for event in parse(disk.read(new.log))[0] if event.kind == "opened"]
    assert attempts == list(range(1, len(attempts) + 1))
    # The very last write of the old head into a bucket may fall between the other's looking and writing; and it may
    # have finished before the new one had claimed anything.
    assert old.state == "stopped" or make is Bucket or attempts == [1], f"schedule {seed}: both went on to the end"
    return old.state


@pytest.fixture(autouse=True)
def a_storage_that_is_often_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the simulated clock writing takes seconds; with little in hand the mirror is added to and written whole."""
    monkeypatch.setattr(mirror, "MIRROR_BURST", 20.0)


@pytest.mark.parametrize("make", [folder, Bucket])
def test_the_newer_of_two_living_drivers_goes_on_alone(make: Callable[..., Mirror]) -> None:
    ends = [check(seed, make) for seed in range(QUICK)]
    assert ends.count("stopped") > QUICK / 2, ends


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [folder, Bucket])
def test_the_newer_goes_on_in_thousands_of_schedules(make: Callable[..., Mirror]) -> None:
    for seed in range(QUICK, ALL):
        check(seed, make)


def _unlooked(disk: SharedDisk, path: Path, size: int, ending: bytes, data: bytes) -> bool:
    disk.append(path, data)
    return True


def _never(follower: Follower, other: Judged, own: bytes) -> None:
    return None


def _always(follower: Follower, other: Judged, own: bytes) -> None:
    raise Refused("another driver has gone on")


def _blindly(follower: Follower, whole: bytes, *, insist: bool) -> bool:
    follower.add(whole)
    return True


@pytest.mark.parametrize(
    ("owner", "name", "sabotage", "make"),
    [
        (SharedDisk, "extend", _unlooked, folder),
        (Follower, "_refuse_if_newer", _never, folder),
        (Follower, "_refuse_if_newer", _always, Bucket),
        (Follower, "claim", _blindly, folder),
    ],
    ids=["adds without looking", "never stops", "stops the newer one too", "does not claim"],
)
def test_a_fence_with_a_hole_is_noticed(
    owner: type,
    name: str,
    sabotage: Callable[..., object],
    make: Callable[..., Mirror],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, sabotage)
    with pytest.raises((AssertionError, DamagedLog)):
        for seed in range(SABOTAGE):
            check(seed, make)


def test_two_new_heads_at_once() -> None:
    """Both are given the command at the same moment: one goes on, and its log is the mirror's."""
    ends = []
    for seed in range(QUICK):
        chance, number = random.Random(seed), healthy(seed)
        disk, clock = SharedDisk(seed), SimulatedClock(seed)
        heads = [Head(name, case_of(number), disk, clock, folder) for name in ("one", "two")]
        disk.actions[disk.steps + chance.randint(1, 25)] = heads[1].start
        heads[0].start()
        heads[1].start()
        for _ in range(30):
            chance.choice(heads).act()
        for head in heads:
            head.to_the_end()
        ends.append(sorted(head.state for head in heads))
        assert ends[-1] == ["finished", "stopped"], seed
        winner = next(head for head in heads if head.state == "finished")
        assert disk.read(STORAGE / LOG) == disk.read(winner.log)
        assert _outcome(disk, winner) == undisturbed(number)
