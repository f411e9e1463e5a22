"""Waiting for room: a sweep starts when the cluster can hold a run, and grows with it.

What is waited for is asked for with a placement group, which Ray's autoscaler sees and which ends with this process.
As soon as there is room it is given back for the run itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from raycon.cluster.capacity import Slots, Worker
from raycon.cluster.outage import minutes
from raycon.errors import LimitHit

logger = logging.getLogger("raycon")

WAIT_MINUTES = 30.0
"""How long a sweep waits for room in its cluster."""
FIRST_WORD = 2.0
"""Seconds of waiting for the first run's room before it is told."""
WORD_EVERY = 60.0
"""Seconds between two messages."""
LOOK_EVERY = 0.3
"""Seconds between two looks at what is waited for; what was granted is taken when it no longer grows."""
USELESS = 5.0
"""Seconds with fewer runs than slots after which no further ones are asked for: a cluster would start machines for
runs that there are not."""
ASKED_AT_ONCE = 64
"""Slots that are asked for at the same time."""


class Patience:
    """Tells that something is waited for, and for how long it may be."""

    def __init__(self, worker: Worker, limit: float):
        """`limit` in seconds."""
        self.worker, self.limit = worker, limit
        self.first_word = FIRST_WORD
        self.since: float | None = None
        self.told = 0.0
        self.spoke = False

    def waiting(self) -> None:
        """There is still no room. Raises LimitHit when that has lasted too long."""
        now = time.monotonic()
        if self.since is None:
            self.since, self.told, self.spoke = now, now + self.first_word - WORD_EVERY, False
        if now - self.since > self.limit:
            raise LimitHit(
                f"no room in the cluster for {self.wanted()} within {minutes(self.limit)}. What was done is kept; the "
                "same command goes on with it, and --wait allows longer"
            )
        if now - self.told >= WORD_EVERY:
            self.told, self.spoke = now, True
            left = minutes(self.limit - (now - self.since))
            logger.warning("waiting for room in the cluster for %s (%s more at most)", self.wanted(), left)

    def over(self) -> None:
        """There is room."""
        if self.since is not None and self.spoke:
            logger.warning("there is room after %.0f s", time.monotonic() - self.since)
        self.since = None

    def wanted(self) -> str:
        """What one run takes, in words."""
        worker = self.worker
        share = " and ".join(f"{each:g} {name}" for each, name in ((worker.cpus, "CPU"), (worker.gpus, "GPU")) if each)
        return f"a run of {share}" if worker.workers == 1 else f"a run of {worker.workers} workers with {share} each"


class Admission:
    """How many runs may be under way: as many as there is room for, up to the slots of the plan.

    A run that is handed out without room would wait in vain while other slots could take it, and a worker group that
    finds no room counts as lost. So further slots are asked for beforehand, and only when those before have taken
    what they were granted: else the same room would be granted twice.
    """

    def __init__(self, plan: Slots, limit: float, *, alone: bool):
        """`alone`: nobody else uses this Ray, so what is there is free. `limit` is in seconds."""
        self.plan, self.patience = plan, Patience(plan.worker, limit)
        self.width = plan.now if alone else 0
        self.asked: list[Any] = []
        self.answers: list[Any] = []
        self.granted = 0
        self.looked = 0.0
        self.full = time.monotonic()

    def wait(self, halted: Callable[[], bool]) -> None:
        """Return when one run has room, or when `halted`. Raises LimitHit."""
        self.patience.first_word = FIRST_WORD
        while self.width == 0 and not halted():
            self.look()
            if self.width == 0:
                self.patience.waiting()
                time.sleep(LOOK_EVERY / 5)
        self.patience.over()
        self.patience.first_word = WORD_EVERY

    def look(self) -> None:
        """Ask for further slots, or count what was granted. Returns at once."""
        if time.monotonic() - self.looked < LOOK_EVERY:
            return
        self.looked = time.monotonic()
        if not self.asked:
            missing = min(self.plan.slots - self.width, ASKED_AT_ONCE)
            self.asked = [placement_group(bundles(self.plan.worker), strategy="PACK") for _ in range(missing)]
            self.answers = [group.ready() for group in self.asked]
            self.granted = 0
            return
        ready, _ = ray.wait(self.answers, num_returns=len(self.answers), timeout=0)
        if ready and len(ready) in (self.granted, len(self.asked)):
            self.close()
            self.width += len(ready)
        self.granted = len(ready)

    def watch(self, under_way: int, at_work: int) -> None:
        """Called again and again while runs are `under_way`, of which those `at_work` hold their resources: none at
        work means that all of them have lost their place, or never got it. Raises LimitHit."""
        now = time.monotonic()
        self.full = now if under_way >= self.width else self.full
        if under_way > at_work:
            self.give_way()
        elif now - self.full > USELESS:
            self.close()
        elif self.width < self.plan.slots and under_way >= self.width:
            self.look()
        if under_way and not at_work:
            self.patience.waiting()
        else:
            self.patience.over()

    def give_way(self) -> None:
        """A run that was handed out has lost its place: what was granted since then is its own. Held for a further slot
        it would be waited for in vain."""
        if self.asked and ray.wait(self.answers, num_returns=1, timeout=0)[0]:
            self.close()

    def close(self) -> None:
        """Take back what was asked for. Safe to call twice."""
        if ray.is_initialized():
            for group in self.asked:
                remove_placement_group(group)
        self.asked, self.answers = [], []


def bundles(worker: Worker) -> list[dict[str, float]]:
    """The resources of a run as Ray is asked for them."""
    share = {name: each for name, each in (("CPU", worker.cpus), ("GPU", worker.gpus)) if each}
    return [dict(share) for _ in range(worker.workers)]
