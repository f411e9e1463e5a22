"""Waiting for the storage: a run whose checkpoint could not be stored is handed out again once the storage answers."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raycon.errors import InvalidFile, LimitHit
from raycon.object_storage import check_reachable, is_uri, read_text, shown, write_text

logger = logging.getLogger("raycon")

LIMIT = 1800.0
"""Seconds for which the storage is waited for."""
LOOK_EVERY = 5.0
"""Seconds between two looks at a storage that does not answer."""
HANGS = 30.0
"""Seconds after which a look that has not ended says that the storage hangs."""
FIRST_WORD = 5.0
"""Seconds of waiting before it is told."""
WORD_EVERY = 60.0
"""Seconds between two messages."""
LEAST = 3
"""Losses of a run at one epoch that are borne in any case, however long its epochs are."""
LONGEST_PAUSE = 60.0
"""Seconds for which a run is held back at most that the storage fails again and again although it answers, as a full
disk does that still takes a small file."""


@dataclass
class Streak:
    """The losses of a run since it has last scored an epoch."""

    epoch: int
    since: float
    losses: int = 0


class Outage:
    """Whether the storage is waited for, and for how long it may be. Asked again and again, never waits itself."""

    def __init__(
        self,
        place: str,
        limit: float = LIMIT,
        *,
        look: Callable[[str], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """`place` is the folder or URI, `limit` in seconds. `look` says what is wrong with it, nothing if it is well;
        it is called in a thread, since it may hang."""
        self.place, self.limit, self.look, self.clock = place, limit, look or problem_with, clock
        self.streaks: dict[str, Streak] = {}
        self.since: float | None = None
        self.not_before = 0.0
        self.problem = ""
        self.found: list[str] | None = None
        self.told: float | None = None

    def lost(self, key: str, epoch: int, reason: str) -> None:
        """A run that had scored `epoch` epochs was lost to the storage. Raises LimitHit where it has come no further
        for too long."""
        now = self.clock()
        streak = self.streaks.get(key)
        if streak is None or streak.epoch != epoch:
            streak = self.streaks[key] = Streak(epoch, now)
        streak.losses += 1
        if streak.losses > LEAST and now - streak.since > self.limit:
            raise LimitHit(f"run {key} was lost {streak.losses} times after epoch {epoch}: {reason}. {kept()}")
        if self.since is None:
            self.since, self.problem, self.told = now, "", None
        pause = 0.0 if streak.losses == 1 else LOOK_EVERY * 2 ** (streak.losses - 2)
        self.not_before = max(self.not_before, now + min(pause, LONGEST_PAUSE))

    def lasts(self) -> bool:
        """Whether nothing is to be handed out for now. Raises LimitHit when that has lasted too long."""
        if self.since is None:
            return False
        now = self.clock()
        if self.found is None:
            if now >= self.not_before:
                self.found = self.begin_look()
        elif self.found:
            self.problem, self.found = self.found[0], None
            if not self.problem and now >= self.not_before:
                self.over(now)
                return False
            self.not_before = max(self.not_before, now + LOOK_EVERY)
        waited = now - self.since
        if waited > self.limit and (self.problem or waited > HANGS):
            raise LimitHit(f"{self.trouble()} for {minutes(waited)}. {kept()}")
        self.tell(now)
        return True

    def begin_look(self) -> list[str]:
        """What the look will have found, once it has ended. Its thread keeps nobody from ending."""
        found: list[str] = []

        def run() -> None:
            try:
                found.append(self.look(self.place))
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")

        threading.Thread(target=run, name="look-at-storage", daemon=True).start()
        return found

    def tell(self, now: float) -> None:
        """Say now and then that the storage is waited for."""
        assert self.since is not None
        if now - (self.since + FIRST_WORD - WORD_EVERY if self.told is None else self.told) >= WORD_EVERY:
            self.told = now
            left = minutes(self.limit - (now - self.since))
            logger.warning("waiting for the storage (%s more at most): %s", left, self.trouble())

    def over(self, now: float) -> None:
        """The storage answers."""
        if self.told is not None and self.since is not None:
            logger.warning("the storage answers again after %.0f s", now - self.since)
        self.since = None

    def trouble(self) -> str:
        """What is wrong, in words."""
        return f"{shown(self.place)}: {self.problem or 'no answer, or checkpoints fail although it answers'}"


def kept() -> str:
    """What is to be done after a limit was hit."""
    return "What was done is kept; the same command goes on with it, and --wait allows longer"


def minutes(seconds: float) -> str:
    """A time in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def problem_with(place: str) -> str:
    """Why a small file or object cannot be written to a place and read there; empty if it can."""
    if is_uri(place):
        try:
            check_reachable(place)
        except InvalidFile as error:
            return error.reason.removeprefix(f"{shown(place)}: ")
        return ""
    name = f".raycon-check-{uuid.uuid4().hex[:8]}"
    try:
        write_text(place, name, name)
        same = read_text(place, name) == name
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with contextlib.suppress(OSError):
            Path(place, name).unlink()
    return "" if same else "what was written is not read again"
