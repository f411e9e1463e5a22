"""What a sweep asks for beside its runs never keeps a run of its own waiting. A pool of places stands for Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from raycon.cluster import room
from raycon.cluster.capacity import Slots, Worker
from raycon.cluster.room import Admission


class Pool:
    """So many places, given to who asked first: as Ray gives placement groups."""

    def __init__(self, places: int):
        self.free = places
        self.asked: list[Request] = []

    def ask(self, *about: Any, **options: Any) -> Request:
        self.asked.append(Request(self))
        self.give()
        return self.asked[-1]

    def give(self) -> None:
        for request in self.asked:
            if not request.granted and self.free:
                request.granted, self.free = True, self.free - 1

    def take_back(self, request: Request) -> None:
        self.asked.remove(request)
        self.free += request.granted
        self.give()

    def wait(self, answers: Sequence[Request], **options: Any) -> tuple[list[Request], list[Request]]:
        return [a for a in answers if a.granted], [a for a in answers if not a.granted]


class Request:
    """A placement group."""

    def __init__(self, pool: Pool):
        self.pool, self.granted = pool, False

    def ready(self) -> Request:
        return self


class Clock:
    """A time that the test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    return clock


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Pool]:
    """One place, that the first run of the sweep has."""
    pool = Pool(1)
    monkeypatch.setattr(room, "placement_group", pool.ask)
    monkeypatch.setattr(room, "remove_placement_group", pool.take_back)
    monkeypatch.setattr("raycon.cluster.room.ray.wait", pool.wait)
    monkeypatch.setattr("raycon.cluster.room.ray.is_initialized", lambda: True)
    yield pool
    assert pool.free >= 0


def look(admission: Admission, clock: Clock, under_way: int, at_work: int, seconds: float = 1.0) -> None:
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        admission.watch(under_way, at_work)


def started(pool: Pool, clock: Clock, slots: int = 2) -> tuple[Admission, Request]:
    """A sweep whose first run is at work, and which asks for a further slot."""
    admission = Admission(Slots(slots, 1, Worker(1, 1.0, 0.0)), 1800.0, alone=True)
    run = pool.ask()
    look(admission, clock, 1, 1)
    assert run.granted and len(pool.asked) == slots and admission.width == 1
    return admission, run


def test_a_run_that_lost_its_place_gets_it_back(pool: Pool, clock: Clock) -> None:
    admission, run = started(pool, clock)
    pool.take_back(run)
    again = pool.ask()
    assert pool.wait([again]) == ([], [again])  # the place went to what was asked for before
    look(admission, clock, 1, 0)
    assert again.granted and admission.width == 1
    look(admission, clock, 1, 1)
    assert admission.width == 1


def test_room_that_comes_is_taken_once(pool: Pool, clock: Clock) -> None:
    admission, _ = started(pool, clock, slots=3)
    pool.free += 1
    pool.give()
    look(admission, clock, 1, 1, 2.0)
    assert (admission.width, pool.free) == (2, 1)
    look(admission, clock, 2, 1, 5.0)
    assert admission.width == 2


def test_nothing_is_asked_for_when_there_are_fewer_runs_than_slots(pool: Pool, clock: Clock) -> None:
    admission, run = started(pool, clock)
    look(admission, clock, 0, 0, 1.0)
    assert len(pool.asked) == 2  # a moment between two runs
    look(admission, clock, 0, 0, 6.0)
    assert pool.asked == [run]
