"""The copy of the event log on storage that outlives the driver's machine, and what keeps two drivers apart by it.

Two heads can be alive at once: one is cut off from its user, another is started and given the same command. The newest
attempt wins. Its `opened` event is on the storage, in a whole new file, before it does anything else; every driver
looks at what it left there before it adds to it, and one that finds another's attempt stops. A late write of the older
driver, which looked just before the newer one came, is written over by the newer.

What remains. Looking and adding are two requests: in between the other driver may write. Then what the older one wrote
last is missing in the newer one's log, and is computed again to the same numbers; until the older one writes again it
does not know. A folder is looked at and added to through one freshly opened descriptor, which network file systems with
close-to-open consistency (NFS without `nocto`) answer from the server; one without may show the older driver its own
version for as long as its cache lasts. In a bucket the end of the object is read and then all of it written, as pyarrow
knows no conditional write. A driver that cannot reach the storage at all learns nothing: it goes on with its
own log until it can.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raycon.disk import Disk, RealDisk, write_durably
from raycon.errors import Refused
from raycon.object_storage import ObjectFolder, is_uri

logger = logging.getLogger("raycon")

MIRROR_BURST = 200.0
"""Seconds of the clock by which writing the mirror may be ahead of its twentieth: ten seconds of writing."""
PAUSES = (5.0, 60.0)
"""Seconds after a write that failed until the next: twenty times what it took, within these."""
LONG_BEHIND = 60.0
"""Seconds after which it is told that the mirror is behind because it is slow."""


@dataclass(frozen=True)
class Ending:
    """What a log ended with when it was written last: its length in bytes, and its last line, which holds the event's
    number and checksum."""

    size: int
    line: bytes

    @classmethod
    def of(cls, data: bytes) -> Ending:
        """The ending of whole lines."""
        return cls(len(data), data[data.rfind(b"\n", 0, -1) + 1 :])

    def followed_by(self, lines: bytes) -> Ending:
        """The ending after more lines."""
        return Ending(self.size + len(lines), Ending.of(lines).line)


@dataclass(frozen=True)
class Judged:
    """What can be read of a log: its whole lines, and the newest attempt that opened it (0 before the first)."""

    readable: bytes
    attempt: int


class Mirror(Protocol):
    """Where the copy lies: a folder, or a part of a bucket. Its text form names it for people. What fails raises
    OSError."""

    def read(self, name: str) -> bytes | None:
        """The content under that name, or None."""

    def write(self, name: str, data: bytes) -> None:
        """Put `data` there, whole and durably: at every moment the content is the old one or the new one."""

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        """Add lines, durably, if the content is still the one with this ending; else False, with nothing written.
        `whole` gives all of the new content, where nothing can be added."""


class FolderMirror:
    """A folder on a file system."""

    def __init__(self, disk: Disk, folder: Path):
        self.disk, self.folder = disk, folder
        self._draft = f".{uuid.uuid4().hex[:8]}"  # two drivers may write at once

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes | None:
        """See `Mirror.read`."""
        try:
            return self.disk.read(self.folder / name)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """See `Mirror.write`: a temporary file, renamed. Whoever has the old file open adds to what nobody reads."""
        write_durably(self.disk, self.folder / name, data, draft=self._draft)

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        """See `Mirror.extend`."""
        return self.disk.extend(self.folder / name, ending.size, ending.line, lines)


class BucketMirror:
    """A prefix of a bucket. An object cannot be added to, so each write is of the whole log."""

    def __init__(self, objects: ObjectFolder):
        self.objects = objects

    def __str__(self) -> str:
        return str(self.objects)

    def read(self, name: str) -> bytes | None:
        """See `Mirror.read`."""
        return self.objects.read(name)

    def write(self, name: str, data: bytes) -> None:
        """See `Mirror.write`: an object appears when all of it has arrived."""
        self.objects.write(name, data)

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        """See `Mirror.extend`. The end of the object is read, then all of it is written."""
        if self.objects.end_of(name, len(ending.line)) != (ending.size, ending.line):
            return False
        self.objects.write(name, whole())
        return True


def mirror_at(place: str) -> Mirror:
    """The mirror in a folder or at a URI."""
    return BucketMirror(ObjectFolder(place)) if is_uri(place) else FolderMirror(RealDisk(), Path(place))


class Follower:
    """What one driver knows of the mirror of its log: how it ends, what it lacks, and when it may be written.

    `judge` says what can be read of a log; None where it is damaged. A mirror that cannot be written does not stop the
    sweep: `error` holds why, a warning says so and another one when it has caught up, and it is tried again.
    """

    def __init__(
        self,
        mirror: Mirror,
        name: str,
        log: Path,
        judge: Callable[[bytes], Judged | None],
        clock: Callable[[], float],
    ):
        self.mirror, self.name, self.log, self.judge, self.clock = mirror, name, log, judge, clock
        self.error: OSError | None = None
        self._due = -math.inf
        self._failed, self._pause = 0.0, -math.inf  # when it could not be written last, and how long to leave it then
        self._behind_since: float | None = None
        self._slow_told = False
        self._found: bytes | None = None
        self._ending: Ending | None = None  # None: unknown, and to be written whole
        self._missing = b""  # what the mirror lacks, or the end of it where the mirror is to be written whole
        self._beside: dict[str, bytes] = {}  # other files that the mirror lacks

    @property
    def behind(self) -> bool:
        """Whether the mirror lacks anything."""
        return bool(self._missing or self._beside)

    def ahead_of(self, own: bytes) -> bytes | None:
        """Look at the mirror: what it holds if it goes on where the log, which holds `own`, ends; else None.

        Where both went on by themselves, the newer attempt's story holds: raises Refused if that is the mirror's, or if
        neither is newer. A mirror that is damaged is behind, unless there is nothing else.
        """
        self._found = copy = self.mirror.read(self.name)
        if copy is None:
            return None
        if not own:
            return copy
        judged = self.judge(copy)
        if judged is None or own.startswith(judged.readable):
            return None
        if judged.readable.startswith(own):
            return judged.readable
        self._refuse_if_newer(judged, own)
        return None

    def settle(self, own: bytes) -> None:
        """The log holds `own` now; what was seen last is compared with that."""
        same = self._found == own
        self._ending = Ending.of(own) if same else None
        self._missing = b"" if same else own

    def settle_beside(self, name: str, own: bytes) -> None:
        """A file beside the log is `own`; what an earlier attempt could not write is written when the log is next."""
        try:
            found = self.mirror.read(name)
        except OSError:
            found = None
        if found != own:
            self._beside[name] = own

    def claim(self, whole: bytes, *, insist: bool) -> bool:
        """Make the mirror this attempt's: `whole` is what the log held when it was opened, and the attempt's event.

        False, with nothing written, if another driver has written since; with `insist` that is written over, unless it
        was an attempt as new as this one, which raises Refused.
        """
        began = self.clock()
        try:
            found = self.mirror.read(self.name)
            if found != self._found:
                if not insist:
                    return False
                self._refuse_unless_behind(found, whole)
            self._ending, self._missing = None, whole
            self.mirror.write(self.name, whole)
            self._ending, self._missing = Ending.of(whole), b""
            self._succeeded()
        except OSError as error:
            self._ending, self._missing = None, whole
            self._not_written(error, began)
        self._found = None
        return True

    def add(self, lines: bytes) -> None:
        """Lines that the log has got. What came in two goes must not be added in one: a torn write could leave the
        later lines without the earlier."""
        if self._missing:
            self._ending = None
        self._missing = lines

    def add_beside(self, name: str, data: bytes) -> None:
        """A small file that belongs with the log; it is written now, unless the storage has just failed."""
        self._beside[name] = data
        began = self.clock()
        if not self._pauses(began):
            try:
                self._write_beside()
                self._succeeded()
            except OSError as error:
                self._not_written(error, began)

    def follow(self, whole: Callable[[], bytes], *, now: bool = False) -> None:
        """Bring the mirror up to date, unless that would take more than a twentieth of the time or has just failed: by
        adding what came last if it has all else, or whole. Raises Refused if another driver has gone on with the
        sweep."""
        if not self.behind:
            return
        began = self.clock()
        if not now and (self._pauses(began) or began < self._due - MIRROR_BURST):
            self._tell_if_slow(began)
            return
        try:
            self._write_log(whole)
            self._write_beside()
        except OSError as error:
            self._not_written(error, began)
            return
        self._succeeded()
        ended = self.clock()
        self._due = max(self._due, ended) + 20 * (ended - began)

    def _write_log(self, whole: Callable[[], bytes]) -> None:
        if not self._missing:
            return
        ending, self._ending = self._ending, None
        if ending is not None and self.mirror.extend(self.name, ending, self._missing, whole):
            self._ending = ending.followed_by(self._missing)
        else:
            data = whole()
            self._refuse_unless_behind(self.mirror.read(self.name), data)
            self.mirror.write(self.name, data)
            self._ending = Ending.of(data)
        self._missing = b""

    def _write_beside(self) -> None:
        for name in list(self._beside):
            self.mirror.write(name, self._beside[name])
            del self._beside[name]

    def _pauses(self, moment: float) -> bool:
        """Whether the storage has failed so lately that it is left alone."""
        return 0 <= moment - self._failed < self._pause  # a clock that was put back does not count

    def _not_written(self, error: OSError, began: float) -> None:
        if self.error is None:
            told = "the copy of the log on %s cannot be written; the sweep goes on, and tries again and again: %s"
            logger.warning(told, self.mirror, error)
        self.error, self._failed = error, self.clock()
        self._pause = min(max(PAUSES[0], 20 * (self._failed - began)), PAUSES[1])

    def _succeeded(self) -> None:
        self._pause = -math.inf
        if self.behind:
            return
        if self.error is not None:
            logger.warning("the copy of the log on %s has caught up", self.mirror)
        self.error = self._behind_since = None

    def _tell_if_slow(self, moment: float) -> None:
        """Once: a storage that is behind for long now will be again."""
        if self._behind_since is None or moment < self._behind_since:
            self._behind_since = moment
        if self.error is None and not self._slow_told and moment - self._behind_since > LONG_BEHIND:
            self._slow_told = True
            told = "the copy of the log on %s has been behind for over a minute: writing it is slow, and takes no more "
            logger.warning(told + "than a twentieth of the time", self.mirror)

    def _refuse_unless_behind(self, copy: bytes | None, own: bytes) -> None:
        """What was cut short or damaged by the storage, or written late by an older attempt, is behind."""
        judged = None if copy is None else self.judge(copy)
        if judged is not None and not own.startswith(judged.readable):
            self._refuse_if_newer(judged, own)

    def _refuse_if_newer(self, other: Judged, own: bytes) -> None:
        judged = self.judge(own)
        if judged is None or other.attempt >= judged.attempt:
            raise Refused(
                f"{self.mirror}/{self.name} does not tell the same as {self.log}: another driver has gone on with this "
                "sweep; move one of the two folders away"
            )
