"""The mirror of a log: claimed by the newest attempt, added to only where it is still one's own, folder or bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import EventLog, encode, parse
from raycon.mirror import BucketMirror, Ending, FolderMirror, Mirror, mirror_at
from raycon.object_storage import ObjectFolder
from tests.buckets import Server, environment, s3_server

LOG = "events.jsonl"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("moto")) as server, environment(server.settings):
        yield server


@pytest.fixture(params=["folder", "s3", "file"])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Mirror:
    if request.param == "folder":
        return FolderMirror(RealDisk(), tmp_path / "storage")
    if request.param == "file":
        return BucketMirror(ObjectFolder(f"file://{tmp_path}/storage"))
    server: Server = request.getfixturevalue("server")
    return mirror_at(f"{server.uri}/{''.join(filter(str.isalnum, request.node.name))}")


class Between:
    """A mirror before whose next write something else happens."""

    def __init__(self, mirror: Mirror, action: Callable[[], object]):
        self.mirror, self.action = mirror, action

    def read(self, name: str) -> bytes | None:
        return self.mirror.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._act()
        self.mirror.write(name, data)

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        self._act()
        return self.mirror.extend(name, ending, lines, whole)

    def _act(self) -> None:
        action, self.action = self.action, lambda: None
        action()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Trying:
    """A folder that takes `seconds` of a clock to write to, and fails as long as `failing`."""

    def __init__(self, folder: Path):
        self.folder, self.clock = FolderMirror(RealDisk(), folder), Clock()
        self.seconds, self.failing, self.requests = 0.0, False, 0

    def __str__(self) -> str:
        return "s3://bucket/x"

    def read(self, name: str) -> bytes | None:
        return self.folder.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._act()
        self.folder.write(name, data)

    def extend(self, name: str, ending: Ending, lines: bytes, whole: Callable[[], bytes]) -> bool:
        self._act()
        return self.folder.extend(name, ending, lines, whole)

    def _act(self) -> None:
        self.requests += 1
        self.clock.now += self.seconds
        if self.failing:
            raise OSError("503 SLOW_DOWN")


@pytest.fixture
def trying(tmp_path: Path) -> Trying:
    return Trying(tmp_path / "storage")


def opened(path: Path, mirror: Mirror, attempt: int) -> EventLog:
    log = EventLog(RealDisk(), path, mirror, clock=mirror.clock if isinstance(mirror, Trying) else time.time)
    log.open()
    assert log.claim(attempt=attempt) is not None
    return log


def add(log: EventLog, **payload: object) -> None:
    log.append("lost", **payload)
    log.sync(mirror=True)


def kinds(data: bytes | None) -> list[object]:
    """The events of a log: attempts by number, all else by key."""
    return [event.get("attempt") or event.get("key") for event in parse(data or b"")[0]]


def test_content_is_written_whole_and_added_to_where_it_ends_as_it_should(mirror: Mirror) -> None:
    assert mirror.read(LOG) is None
    assert not mirror.extend(LOG, Ending(0, b""), b"x\n", lambda: b"x\n") and mirror.read(LOG) is None
    mirror.write(LOG, b"one\ntwo\n")
    ending = Ending.of(b"one\ntwo\n")
    assert ending == Ending(8, b"two\n")
    for other in (Ending(8, b"too\n"), Ending(4, b"one\n"), Ending(9, b"two\n")):
        assert not mirror.extend(LOG, other, b"three\n", lambda: b"?")
    assert mirror.extend(LOG, ending, b"three\n", lambda: b"one\ntwo\nthree\n")
    assert mirror.read(LOG) == b"one\ntwo\nthree\n"
    assert ending.followed_by(b"three\nfour\n") == Ending.of(b"one\ntwo\nthree\nfour\n")


def test_the_mirror_has_an_attempt_before_the_log_has_it(mirror: Mirror, tmp_path: Path) -> None:
    path = tmp_path / "out" / LOG
    seen: list[bool] = []
    opened(path, Between(mirror, lambda: seen.append(path.exists())), 1)
    assert seen == [False] and mirror.read(LOG) == path.read_bytes() and kinds(mirror.read(LOG)) == [1]


def test_the_older_stops_at_its_next_write_and_the_newer_goes_on(mirror: Mirror, tmp_path: Path) -> None:
    old = opened(tmp_path / "old" / LOG, mirror, 1)
    add(old, key="a")
    new = opened(tmp_path / "new" / LOG, mirror, 2)
    with pytest.raises(Refused, match="another driver has gone on with this sweep"):
        add(old, key="b")
    with pytest.raises(Refused, match="another driver has gone on"):
        old.append("closed")
    add(new, key="c")
    assert kinds(mirror.read(LOG)) == [1, "a", 2, "c"]
    with pytest.raises(Refused):
        EventLog(RealDisk(), old.path, mirror).open()


def test_what_the_older_writes_before_the_claim_is_read_again(mirror: Mirror, tmp_path: Path) -> None:
    old = opened(tmp_path / "old" / LOG, mirror, 1)
    new = EventLog(RealDisk(), tmp_path / "new" / LOG, mirror)
    new.open()
    add(old, key="a")
    assert new.claim(attempt=2) is None
    assert kinds(mirror.read(LOG)) == [1, "a"] and kinds(new.path.read_bytes()) == [1]
    new.open()
    assert new.claim(attempt=2) is not None
    assert kinds(mirror.read(LOG)) == kinds(new.path.read_bytes()) == [1, "a", 2]


def test_an_older_one_that_never_pauses_does_not_keep_the_newer_out(mirror: Mirror, tmp_path: Path) -> None:
    old = opened(tmp_path / "old" / LOG, mirror, 1)
    new = EventLog(RealDisk(), tmp_path / "new" / LOG, mirror)
    new.open()
    add(old, key="a")
    assert new.claim(insist=True, attempt=2) is not None
    assert kinds(mirror.read(LOG)) == [1, 2]
    with pytest.raises(Refused):
        add(old, key="b")


def test_of_two_that_claim_at_once_one_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    one = EventLog(RealDisk(), tmp_path / "one" / LOG, mirror)
    one.open()
    two = opened(tmp_path / "two" / LOG, mirror, 1)
    with pytest.raises(Refused):
        one.claim(insist=True, attempt=1)
    with pytest.raises(RayconError):
        one.append("closed")
    add(two, key="a")
    assert kinds(mirror.read(LOG)) == [1, "a"]


def test_a_late_write_of_the_older_is_written_over(tmp_path: Path) -> None:
    """In a bucket looking and writing are two requests; the newer claims in between."""
    bucket = BucketMirror(ObjectFolder(f"file://{tmp_path}/storage"))
    old = opened(tmp_path / "old" / LOG, bucket, 1)
    add(old, key="a")
    made: list[EventLog] = []
    real = bucket.objects.write

    def write(name: str, data: bytes) -> None:
        if not made:
            made.append(opened(tmp_path / "new" / LOG, BucketMirror(ObjectFolder(bucket.objects.uri)), 2))
        real(name, data)

    bucket.objects.write = write  # type: ignore[method-assign]
    add(old, key="late")
    assert kinds(bucket.read(LOG)) == [1, "a", "late"]
    add(made[0], key="b")
    assert kinds(bucket.read(LOG)) == [1, "a", 2, "b"]
    with pytest.raises(Refused):
        add(old, key="c")
    assert kinds(bucket.read(LOG)) == [1, "a", 2, "b"]


def test_a_newer_attempt_that_could_not_reach_the_mirror_still_wins(mirror: Mirror, tmp_path: Path) -> None:
    old = opened(tmp_path / "old" / LOG, mirror, 1)

    def fail() -> None:
        raise OSError("the storage is away")

    log = EventLog(RealDisk(), tmp_path / "new" / LOG, Between(mirror, fail))
    log.open()
    assert log.claim(attempt=2) is not None
    assert str(log.mirror_error) == "the storage is away" and kinds(mirror.read(LOG)) == [1]
    add(old, key="a")
    add(log, key="b")
    assert log.mirror_error is None and kinds(mirror.read(LOG)) == [1, 2, "b"]


def test_a_damaged_mirror_is_written_anew_and_a_lost_one_too(mirror: Mirror, tmp_path: Path) -> None:
    log = opened(tmp_path / "out" / LOG, mirror, 1)
    mirror.write(LOG, b"garbage\n")
    add(log, key="a")
    assert kinds(mirror.read(LOG)) == [1, "a"]
    mirror.write(LOG, b"")
    add(log, key="b")
    assert mirror.read(LOG) == log.path.read_bytes() and kinds(mirror.read(LOG)) == [1, "a", "b"]


def test_a_whole_copy_of_another_search_is_not_written_over(mirror: Mirror, tmp_path: Path) -> None:
    log = opened(tmp_path / "out" / LOG, mirror, 1)
    other = EventLog(RealDisk(), tmp_path / "other" / LOG)
    other.open()
    other.claim(attempt=1, name="other")
    mirror.write(LOG, other.path.read_bytes())
    with pytest.raises(Refused):
        add(log, key="a")
    assert mirror.read(LOG) == other.path.read_bytes()


def test_an_empty_folder_fetches_log_and_sweep_file_from_a_bucket(mirror: Mirror, tmp_path: Path) -> None:
    log = opened(tmp_path / "out" / LOG, mirror, 1)
    log.write_beside("sweep.json", b"{}")
    add(log, key="a")
    again = EventLog(RealDisk(), tmp_path / "again" / LOG, mirror)
    assert again.open() == log.read()
    assert (tmp_path / "again" / "sweep.json").read_bytes() == b"{}"
    assert (tmp_path / "again" / LOG).read_bytes() == log.path.read_bytes()
    assert encode(again.read()[0], 0) == log.path.read_bytes().splitlines(keepends=True)[0]


def test_a_storage_that_is_well_again_is_written_within_a_minute(trying: Trying, tmp_path: Path) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.seconds, trying.failing = 100.0, True
    add(log, key="a")
    trying.seconds, trying.failing = 0.1, False
    ended, requests = trying.clock.now, trying.requests
    while log.mirror_error is not None:
        trying.clock.now += 7
        log.append("lost", key="b")
        log.sync()
    assert 55 < trying.clock.now - ended < 70 and trying.requests == requests + 1
    assert trying.read(LOG) == log.path.read_bytes()


def test_what_failed_once_is_tried_again_without_another_event_and_told_twice(
    trying: Trying, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.failing = True
    add(log, key="a")
    told = ["the copy of the log on s3://bucket/x cannot be written; the sweep goes on, and tries again and again"]
    assert [record.getMessage().rpartition(": ")[0] for record in caplog.records] == told
    add(log, key="b")
    trying.failing, requests = False, trying.requests
    for _ in range(100):
        log.catch_up()
    assert trying.requests == requests and kinds(trying.read(LOG)) == [1]
    trying.clock.now += 5
    for _ in range(100):
        log.catch_up()
    assert trying.requests == requests + 1 and trying.read(LOG) == log.path.read_bytes()
    assert log.mirror_error is None
    assert caplog.records[1].getMessage() == "the copy of the log on s3://bucket/x has caught up"
    assert len(caplog.records) == 2


def test_a_clock_that_is_put_back_does_not_keep_a_failed_write_from_being_tried_again(
    trying: Trying, tmp_path: Path
) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.failing = True
    add(log, key="a")
    trying.failing = False
    trying.clock.now -= 500
    log.catch_up()
    assert trying.read(LOG) == log.path.read_bytes()


def test_what_a_burst_left_behind_is_caught_up_without_another_event(
    trying: Trying, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.seconds = 5.0
    for _ in range(10):
        log.append("lost", key="a")
        log.sync()
    assert len(kinds(trying.read(LOG))) < 11 and log.mirror_error is None and not caplog.records
    ended, requests = trying.clock.now, trying.requests
    while trying.requests == requests and trying.clock.now < ended + 3600:
        trying.clock.now += 0.5
        log.catch_up()
    assert trying.read(LOG) == log.path.read_bytes() and 60 < trying.clock.now - ended < 200
    assert [record.getMessage() for record in caplog.records] == [
        "the copy of the log on s3://bucket/x has been behind for over a minute: writing it is slow, and takes no more "
        "than a twentieth of the time"
    ]


def test_what_is_not_yet_durable_is_when_the_mirror_has_it(trying: Trying, tmp_path: Path) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.failing = True
    add(log, key="a")
    trying.failing = False
    log.append("lost", key="b")
    trying.clock.now += 60
    log.catch_up()
    add(log, key="c")
    assert trying.read(LOG) == log.path.read_bytes() and kinds(trying.read(LOG)) == [1, "a", "b", "c"]


def test_another_driver_is_noticed_while_catching_up(trying: Trying, tmp_path: Path) -> None:
    old = opened(tmp_path / "old" / LOG, trying, 1)
    trying.failing = True
    add(old, key="a")
    trying.failing = False
    opened(tmp_path / "new" / LOG, trying, 2)
    trying.clock.now += 60
    with pytest.raises(Refused, match="another driver has gone on with this sweep"):
        old.catch_up()
    assert kinds(trying.read(LOG)) == [1, 2]


def test_a_file_beside_the_log_that_could_not_be_written_is_written_later(
    trying: Trying, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path / "out" / LOG, trying, 1)
    trying.failing = True
    log.write_beside("sweep.json", b"{}")
    assert str(log.mirror_error) == "503 SLOW_DOWN" and trying.read("sweep.json") is None
    trying.failing = False
    trying.clock.now += 60
    log.catch_up()
    assert trying.read("sweep.json") == b"{}" and log.mirror_error is None and len(caplog.records) == 2
    (tmp_path / "storage" / "sweep.json").unlink()
    again = EventLog(RealDisk(), log.path, trying)
    again.open()
    assert trying.read("sweep.json") is None, "nothing is written before it is known whose log it is"
    again.sync(mirror=True)
    assert trying.read("sweep.json") == b"{}", "the next attempt makes up for what this one could not"
