"""Checkpoints in folders and buckets: published by their manifest, checked when fetched, old ones dropped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raycon import checkpoint_storage, object_storage
from raycon.checkpoint_storage import (
    DRAFTS,
    checkpoint_place,
    earlier_place,
    kept_copy,
    local_copy,
    newest_place,
    usable,
    written_to,
)
from raycon.checkpoints import MANIFEST, TENSORS, DamagedCheckpoint, read_checkpoint, write_checkpoint
from raycon.cluster.engine import STORAGE_LOST, Engine
from raycon.cluster.overhead import ACCURACY, open_idle_run
from raycon.object_storage import ObjectFolder, is_uri, join
from raycon.runs import World
from tests.buckets import Server, environment, s3_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("moto")) as server, environment(server.settings):
        yield server


@pytest.fixture(params=["s3", "s3 with a query", "file", "path"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a run keeps its checkpoints."""
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    if request.param == "path":
        return str(tmp_path / "run")
    if request.param == "file":
        return f"file://{tmp_path}/run"
    server: Server = request.getfixturevalue("server")
    if request.param == "s3":
        return f"{server.uri}/{name}"
    return server.whole_uri.replace("/x?", f"/x-{name}?")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checkpoints in transit lie; nothing waits before it tries again."""
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(object_storage, "PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


def write(run: str, attempt: int, epoch: int) -> str:
    place = checkpoint_place(run, attempt, epoch)
    with written_to(place) as folder:
        write_checkpoint(folder, {"weights": torch.full((3,), float(epoch))}, {"epoch": epoch})
    return place


def change(place: str, name: str, data: bytes | None) -> None:
    """Damage a checkpoint."""
    if is_uri(place):
        if data is None:
            ObjectFolder(place).delete(name)
        else:
            ObjectFolder(place).write(name, data)
    elif data is None:
        Path(place, name).unlink()
    else:
        Path(place, name).write_bytes(data)


def test_what_is_written_is_read_and_nothing_stays_in_transit(run: str, scratch: Path) -> None:
    place = write(run, 1, 4)
    assert usable(place) and newest_place(run) == place
    with local_copy(place) as folder:
        tensors, facts = read_checkpoint(Path(str(folder)))
    assert torch.equal(tensors["weights"], torch.full((3,), 4.0))
    assert facts["epoch"] == 4 and facts["bytes"] > 0
    assert not scratch.exists() or list(scratch.iterdir()) == []
    with local_copy(None) as nothing:
        assert nothing is None


def test_a_copy_for_the_process_is_fetched_once(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write(run, 1, 1)
    first = kept_copy(place)
    monkeypatch.setattr(ObjectFolder, "download", None)
    assert kept_copy(place) == first and (first / TENSORS).is_file()


@pytest.mark.parametrize("name", [MANIFEST, TENSORS])
@pytest.mark.parametrize("left", [None, b"", b"cut"])
def test_a_half_one_is_not_taken(run: str, name: str, left: bytes | None) -> None:
    older, newer = write(run, 1, 1), write(run, 2, 2)
    change(newer, name, left)
    assert not usable(newer) and newest_place(run) == older
    if is_uri(run):
        with pytest.raises(DamagedCheckpoint), local_copy(newer):
            pass
    assert write(run, 2, 2) == newer and usable(newer)


def test_a_flipped_byte_is_found_when_it_is_fetched(server: Server) -> None:
    place = write(f"{server.uri}/flipped", 1, 1)
    data = bytearray(ObjectFolder(place).read(TENSORS) or b"")
    data[-1] ^= 1
    ObjectFolder(place).write(TENSORS, bytes(data))
    assert usable(place), "its bytes are not read for that"
    with pytest.raises(DamagedCheckpoint, match="damaged"):
        kept_copy(place)


def test_a_manifest_without_sizes_is_still_read(server: Server) -> None:
    place = write(f"{server.uri}/before", 1, 1)
    facts = json.loads(ObjectFolder(place).read(MANIFEST) or b"")
    del facts["bytes"]
    ObjectFolder(place).write(MANIFEST, json.dumps(facts).encode())
    assert usable(place)


def test_only_the_last_epochs_are_kept(run: str) -> None:
    places = [write(run, 1 + epoch // 3, epoch) for epoch in range(1, 6)]
    assert [usable(place) for place in places] == [False, False, False, True, True]
    if is_uri(run):
        assert len(ObjectFolder(run).names()) == 4


def test_one_that_is_there_is_left_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write(f"{server.uri}/twice", 1, 1)
    monkeypatch.setattr(ObjectFolder, "upload", None)
    assert write(f"{server.uri}/twice", 1, 1) == place


def failing(times: int, real: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    def attempt(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("the network is down")
        return real(*arguments)

    return attempt


def test_an_upload_is_tried_again_and_then_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ObjectFolder.upload
    monkeypatch.setattr(ObjectFolder, "upload", failing(3, real))
    assert usable(write(f"{server.uri}/again", 1, 1))
    monkeypatch.setattr(ObjectFolder, "upload", failing(4, real))
    with pytest.raises(OSError, match="network is down"):
        write(f"{server.uri}/again", 1, 2)
    monkeypatch.undo()
    assert not usable(f"{server.uri}/again/attempt-1/epoch-0002")


def test_a_storage_that_does_not_answer_speaks_against_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectFolder, "read", failing(9, ObjectFolder.read))
    assert usable("s3://bucket/run/attempt-1/epoch-0001")
    assert not usable("/no/such/folder")


def test_what_killed_processes_left_is_removed_a_day_later(server: Server, scratch: Path) -> None:
    for name, age in (("old", 90000), ("new", 1000)):
        (scratch / f"{DRAFTS}{name}").mkdir(parents=True)
        os.utime(scratch / f"{DRAFTS}{name}", (time.time() - age,) * 2)
    checkpoint_storage._remove_stale.cache_clear()
    write(f"{server.uri}/stale", 1, 1)
    assert [folder.name for folder in scratch.iterdir()] == [f"{DRAFTS}new"]


def assignment(run: str, resume: str | None = None) -> dict[str, Any]:
    trial = {"training": {"epochs": 3}, "idle": {"steps": 1}}
    return {"key": "k", "number": 0, "attempt": 1, "try": 1, "trial": trial, "folder": run, "resume": resume}


def test_an_engine_goes_on_from_where_another_one_put_it(run: str) -> None:
    first, whole, again = (Engine(open_idle_run, World()) for _ in range(3))
    assert first.begin(assignment(run)) is None and whole.begin(assignment(join(run, "whole"))) is None
    report = first.next()
    assert report.checkpoint == checkpoint_place(run, 1, 1)
    expected = [whole.next().metrics[ACCURACY] for _ in range(3)]
    assert again.begin(assignment(run, report.checkpoint)) is None
    assert [report.metrics[ACCURACY], again.next().metrics[ACCURACY], again.next().metrics[ACCURACY]] == expected


def test_weights_that_cannot_be_put_or_fetched_are_not_the_fault_of_the_run(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, run = Engine(open_idle_run, World()), f"{server.uri}/lost"
    engine.begin(assignment(run))
    monkeypatch.setattr(ObjectFolder, "upload", failing(99, ObjectFolder.upload))
    lost = engine.next()
    assert lost.state == STORAGE_LOST and "network is down" in (lost.reason or "")
    monkeypatch.undo()
    engine.begin(assignment(run))
    place = engine.next().checkpoint
    monkeypatch.setattr(object_storage, "PAUSES", ())
    monkeypatch.setattr(ObjectFolder, "download", failing(99, ObjectFolder.download))
    unopened = engine.begin(assignment(run, place))
    assert unopened is not None and unopened.state == STORAGE_LOST and "network is down" in (unopened.reason or "")
    monkeypatch.undo()
    change(place or "", TENSORS, b"damaged")
    assert engine.begin(assignment(run, place)) is None and engine.next().epoch == 1


def save(run: str, attempt: int, epoch: int) -> str:
    """A small checkpoint."""
    place = checkpoint_place(run, attempt, epoch)
    with written_to(place) as folder:
        write_checkpoint(folder, {"weights": torch.full((3,), float(epoch))}, {"epoch": epoch})
    return place


def test_a_log_that_was_behind_keeps_what_is_written_now(run: str) -> None:
    """A new attempt begins before epochs that the last one had stored: its own checkpoints stay."""
    for epoch in range(1, 7):
        save(run, 1, epoch)
    for epoch in range(1, 6):
        assert usable(save(run, 2, epoch))
    assert [epoch for epoch in range(1, 7) if usable(checkpoint_place(run, 2, epoch))] == [4, 5]
    save(run, 2, 6)
    save(run, 2, 7)
    assert not usable(checkpoint_place(run, 1, 5)) and usable(checkpoint_place(run, 1, 6))


def test_a_worker_that_was_cut_off_takes_nothing_from_the_next_attempt(run: str) -> None:
    mine = [save(run, 2, epoch) for epoch in (3, 4)]
    for epoch in (8, 9, 10):
        save(run, 1, epoch)
    assert all(usable(place) for place in mine)
    assert not usable(checkpoint_place(run, 1, 8))


def test_a_damaged_checkpoint_falls_back_on_the_one_before(run: str) -> None:
    places = [save(run, 1, epoch) for epoch in (1, 2, 3)]
    damage(places[2])
    with pytest.raises(DamagedCheckpoint), local_copy(places[2]) as copy:
        read_checkpoint(Path(copy or ""))
    assert earlier_place(places[2]) == places[1]
    assert earlier_place(places[1]) is None
    resumed: list[float] = []

    def factory(assignment: dict[str, Any], world: World) -> Any:
        resumed.append(float(read_checkpoint(Path(assignment["resume"]))[0]["weights"][0]))
        return open_idle_run({**assignment, "resume": None}, world)

    assignment = {"key": "k", "folder": run, "attempt": 2, "try": 1, "resume": places[2], "trial": {}}
    Engine(factory, World()).opened(assignment)
    assert resumed == [2.0]


def damage(place: str) -> None:
    """Turn one bit of the tensors over; their length stays."""
    if is_uri(place):
        data = bytearray(ObjectFolder(place).read(TENSORS) or b"")
        data[-1] ^= 1
        ObjectFolder(place).write(TENSORS, bytes(data))
    else:
        file = Path(place) / TENSORS
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))


def test_what_lies_beside_a_checkpoint_in_transit_stays(scratch: Path, tmp_path: Path) -> None:
    others = [scratch / f"attempt-1/epoch-{epoch:04d}" for epoch in range(10, 15)]
    for folder in others:
        folder.mkdir(parents=True)
    save(f"file://{tmp_path}/run", 1, 20)
    assert all(folder.is_dir() for folder in others)
