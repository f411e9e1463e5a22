"""The event log: what was synced is kept, what was torn is cut off, what was damaged is refused."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path

import pytest

from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import DamagedLog, Event, EventLog, encode, parse, plain_metrics, read_metrics
from tests.driver.simulated import SimulatedDisk

PATH, MIRROR = Path("/out/sweep/events.jsonl"), Path("/storage/sweep/events.jsonl")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def open_log(path: Path, mirror: Path | None = None, clock: Clock | None = None) -> EventLog:
    log = EventLog(RealDisk(), path, mirror, clock=clock or Clock())
    log.open()
    return log


def lines(count: int, synced: int = 0) -> list[bytes]:
    return [encode(Event(seq, 1.0, "started", {"key": "k", "try": seq}), synced) for seq in range(count)]


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    log = open_log(tmp_path / "new" / "events.jsonl")
    values = {"x": 0.1 + 0.2, "name": "Zürich\n", "none": None, "flag": True, "list": [1, 2.5]}
    written = [log.append("asked", number=0, key="a", values=values), log.append("closed")]
    log.sync()
    again = EventLog(RealDisk(), log.path, clock=Clock())
    assert again.open() == written == log.read() == again.read()
    assert [json.loads(line)["seq"] for line in log.path.read_text().splitlines()] == [0, 1]
    assert again.append("closed").seq == 2


def test_time_never_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    log = open_log(tmp_path / "events.jsonl", clock=clock)
    for now in (1000.0, 900.0, 1000.5):
        clock.now = now
        log.append("closed")
    log.sync()
    clock.now = 10.0
    again = open_log(log.path, clock=clock)
    again.append("closed")
    assert [event.time for event in again.read()] == [1000.0, 1000.0, 1000.5, 1000.5]


def test_numbers_that_json_lacks_survive() -> None:
    stored = plain_metrics({"a": math.nan, "b": -math.inf, "c": 0.1, "d": math.inf})
    assert json.loads(json.dumps(stored, allow_nan=False)) == {"a": "nan", "b": "-inf", "c": 0.1, "d": "inf"}
    assert repr(read_metrics(stored)) == repr({"a": math.nan, "b": -math.inf, "c": 0.1, "d": math.inf})
    with pytest.raises(ValueError, match="JSON"):
        encode(Event(0, 1.0, "scored", {"value": math.nan}), 0)


def test_every_cut_of_the_last_line_is_cut_off(tmp_path: Path) -> None:
    whole = b"".join(lines(3))
    start = len(b"".join(lines(2)))
    for length in range(start, len(whole)):
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(whole[:length])
        log = open_log(path)
        assert len(log.read()) == 2
        assert path.read_bytes() == whole[:start]
        log.append("closed")
        log.sync()
        assert len(parse(path.read_bytes())[0]) == 3


def test_every_flipped_bit_is_noticed() -> None:
    line = lines(1)[0]
    for position in range(len(line) - 1):
        flipped = bytearray(line)
        flipped[position] ^= 4
        assert parse(bytes(flipped)) == ([], 0), flipped


def test_zeros_and_holes_in_an_unsynced_batch_are_cut_off() -> None:
    first, second, third = lines(3)
    assert parse(first + bytes(200)) == parse(first)
    assert parse(first + bytes(len(second) - 1) + b"\n" + third) == parse(first)
    assert parse(first + second[5:] + third) == parse(first)


def test_damage_to_what_was_synced_is_refused() -> None:
    first, second, third = lines(3, synced=2)
    with pytest.raises(DamagedLog, match="event 1 is damaged"):
        parse(first + bytes(len(second) - 1) + b"\n" + third)
    with pytest.raises(DamagedLog, match="event 0 is damaged"):
        parse(b"x" + first + second + third)
    with pytest.raises(DamagedLog, match="expected event 1, found event 2"):
        parse(first + third)
    with pytest.raises(DamagedLog, match="expected event 1, found event 0"):
        parse(first + first)


def test_lines_tell_how_much_was_durable_before_them(tmp_path: Path) -> None:
    log = open_log(tmp_path / "events.jsonl")
    log.append("closed")
    log.append("closed")
    log.sync()
    log.append("closed")
    assert [json.loads(line)["synced"] for line in log.path.read_text().splitlines()] == [0, 0, 2]


class SlowStorage(RealDisk):
    """Counts how the mirror is written, each write taking `seconds` of a clock."""

    def __init__(self, clock: Clock, seconds: float):
        super().__init__()
        self.clock, self.seconds, self.ways = clock, seconds, ""

    def extend(self, path: Path, size: int, ending: bytes, data: bytes) -> bool:
        self.count(path, "a")
        return super().extend(path, size, ending, data)

    def write(self, path: Path, data: bytes) -> None:
        self.count(path, "w")
        super().write(path, data)

    def count(self, path: Path, way: str) -> None:
        if "storage" in path.parts and "events" in path.name:
            self.ways += way
            self.clock.now += self.seconds


def test_the_mirror_follows_every_sync_and_is_fetched(tmp_path: Path) -> None:
    clock = Clock()
    path, mirror = tmp_path / "out" / "events.jsonl", tmp_path / "storage" / "deep" / "events.jsonl"
    disk = SlowStorage(clock, 0.0)
    log = EventLog(disk, path, mirror, clock=clock)
    log.open()
    log.write_beside("sweep.json", b"{}")
    for _ in range(4):
        log.append("closed")
        log.append("closed")
        log.sync()
        assert mirror.read_bytes() == path.read_bytes()
    assert disk.ways == "waaa"
    for name in ("events.jsonl", "sweep.json"):
        (path.parent / name).unlink()
    again = open_log(path, mirror, clock)
    assert again.read() == log.read()
    assert path.read_bytes() == mirror.read_bytes()
    assert (path.parent / "sweep.json").read_bytes() == b"{}"
    assert sorted(entry.name for entry in mirror.parent.iterdir()) == ["events.jsonl", "sweep.json"]


def test_a_slow_storage_takes_no_more_than_a_twentieth_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    disk = SlowStorage(clock, 0.5)
    log = EventLog(disk, tmp_path / "events.jsonl", tmp_path / "storage" / "events.jsonl", clock=clock)
    log.open()
    began = clock.now
    for _ in range(1000):
        clock.now += 0.1
        log.append("closed")
        log.sync()
    assert len(disk.ways) * 0.5 <= 10.5 + (clock.now - began) / 20
    assert "aw" in disk.ways, "what was missed meanwhile is written whole"
    log.sync(mirror=True)
    assert (tmp_path / "storage" / "events.jsonl").read_bytes() == log.path.read_bytes()


def test_a_log_that_another_driver_went_on_with_is_taken_over_from_the_mirror(tmp_path: Path) -> None:
    path, mirror = tmp_path / "old" / "events.jsonl", tmp_path / "storage" / "events.jsonl"
    log = open_log(path, mirror)
    log.append("closed")
    log.sync()
    other = open_log(tmp_path / "new" / "events.jsonl", mirror)
    other.append("closed")
    other.sync()
    assert open_log(path, mirror).read() == other.read()


def test_two_drivers_do_not_write_one_mirror(tmp_path: Path) -> None:
    mirror = tmp_path / "storage" / "events.jsonl"
    log = open_log(tmp_path / "old" / "events.jsonl", mirror)
    log.append("closed")
    log.sync()
    other = open_log(tmp_path / "new" / "events.jsonl", mirror)
    other.append("closed")
    other.sync()
    log.append("lost", key="x", reason="the host was cut off")
    with pytest.raises(Refused, match="another driver has gone on"):
        log.sync()
    with pytest.raises(RayconError, match="another driver has gone on"):
        log.append("closed")
    with pytest.raises(Refused, match="another driver has gone on"):
        open_log(tmp_path / "old" / "events.jsonl", mirror)
    other.append("closed")
    other.sync()
    assert mirror.read_bytes() == other.path.read_bytes()


def test_a_mirror_cut_short_by_its_storage_is_written_anew(tmp_path: Path) -> None:
    mirror = tmp_path / "storage" / "events.jsonl"
    log = open_log(tmp_path / "events.jsonl", mirror)
    for cut in (3, 0):
        log.append("closed")
        log.sync()
        mirror.write_bytes(mirror.read_bytes()[:-cut] if cut else b"garbage")
    log.append("closed")
    log.sync()
    assert mirror.read_bytes() == log.path.read_bytes()


def test_the_own_log_wins_over_the_mirror(tmp_path: Path) -> None:
    path, mirror = tmp_path / "events.jsonl", tmp_path / "mirror.jsonl"
    path.write_bytes(b"".join(lines(3)))
    mirror.write_bytes(b"".join(lines(2)))
    assert len(open_log(path, mirror).read()) == 3


def test_a_storage_that_fails_does_not_stop_the_sweep(tmp_path: Path) -> None:
    class Failing(RealDisk):
        broken = True

        def write(self, path: Path, data: bytes) -> None:
            if self.broken and "storage" in path.parts:
                raise OSError(errno.EIO, "Input/output error")
            super().write(path, data)

    disk = Failing()
    log = EventLog(disk, tmp_path / "events.jsonl", tmp_path / "storage" / "events.jsonl", clock=Clock())
    log.open()
    log.append("closed")
    log.sync(mirror=True)
    assert log.mirror_error is not None and len(parse(log.path.read_bytes())[0]) == 1
    disk.broken = False
    log.sync(mirror=True)
    assert (tmp_path / "storage" / "events.jsonl").read_bytes() == log.path.read_bytes()
    log.append("closed")
    log.sync(mirror=True)
    assert str(log.mirror_error) == "None"


def test_a_full_disk_closes_the_log_and_keeps_what_was_there() -> None:
    disk = SimulatedDisk(3)
    log = EventLog(disk, PATH, clock=Clock())
    log.open()
    log.append("closed")
    log.sync()
    disk.fail_at = disk.steps + 2
    with pytest.raises(RayconError, match="No space left on device"):
        log.append("closed")
    with pytest.raises(RayconError, match="cannot write"):
        log.append("closed")
    with pytest.raises(RayconError, match="cannot write"):
        log.sync()
    again = EventLog(disk, PATH, clock=Clock())
    assert len(again.open()) == 1
    again.append("closed")
    again.sync()
    assert len(parse(disk.read(PATH))[0]) == 2


def test_what_was_read_is_made_durable_before_it_is_trusted() -> None:
    disk = SimulatedDisk(5)
    log = EventLog(disk, PATH, clock=Clock())
    log.open()
    log.append("closed")
    disk.kill()  # the process dies before it syncs, the machine lives on
    assert len(EventLog(disk, PATH, clock=Clock()).open()) == 1
    disk.cut_power()
    assert len(EventLog(disk, PATH, clock=Clock()).open()) == 1


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    log = EventLog(RealDisk(), tmp_path / "events.jsonl")
    with pytest.raises(RuntimeError, match="not open"):
        log.append("closed")
    log.open()
    with pytest.raises(ValueError, match="unknown kind"):
        log.append("guessed")
    with pytest.raises(ValueError, match="may not name seq"):
        log.append("closed", seq=4)
