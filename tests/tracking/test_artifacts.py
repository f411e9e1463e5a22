"""Files beside runs that are in MLflow: attached, replaced, and left out where there is no run or no tracker."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from raycon.errors import RayconError
from raycon.reporting.finalists import Picture
from raycon.settings import Settings
from raycon.sweep_tracking import attach_pictures
from raycon.tracking import artifacts, sync
from raycon.tracking.artifacts import attach
from raycon.tracking.tail import log_digest
from tests.reporting.synthetic import FINE, write_sweep
from tests.tracking.memory_store import MemoryStore
from tests.tracking.test_tracking_mlflow import client, out, runs, template

__all__ = ["out", "template"]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sweep(tmp_path / "s", [({"a.x": n}, "complete", {FINE: 0.5}) for n in range(2)])
    return tmp_path / "s"


class Store(MemoryStore):
    """Knows the sweep and its first run."""

    def __init__(self, uri: str, sweep: str, place: Path | None):
        super().__init__()
        self.uri = uri
        self.made = {"": "parent", KNOWN: "child"}


KNOWN = "0000-00000000"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> list[Store]:
    made: list[Store] = []

    def make(*arguments: Any) -> Store:
        made.append(Store(*arguments))
        return made[-1]

    monkeypatch.setattr(artifacts, "MlflowStore", make)
    monkeypatch.setattr(artifacts, "experiment_of", lambda folder: "1")
    return made


def test_files_go_to_the_runs_that_are_there(
    folder: Path, store: list[Store], caplog: pytest.LogCaptureFixture
) -> None:
    files = {KNOWN: {"a.png": b"1"}, "": {"all.png": b"2"}, "0001-9e3779b1": {"a.png": b"3"}}
    with caplog.at_level(logging.WARNING, logger="raycon"):
        assert attach(folder, files) == 2
    assert store[0].files == {("child", "a.png"): b"1", ("parent", "all.png"): b"2"}
    assert not store[0].rows and not store[0].status
    assert caplog.messages == ["1 runs are not in MLflow yet; `raycon sync s` delivers them"]


def test_without_a_tracker_nothing_is_opened(
    folder: Path, store: list[Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(artifacts, "experiment_of", lambda folder: None)
    assert attach(folder, {"": {"a.png": b"1"}}) == 0 and attach(tmp_path / "none", {}, "file:x") == 0 and not store
    assert attach(folder, {"": {"a.png": b"1"}}, "http://127.0.0.1:9") == 1
    assert [made.uri for made in store] == ["http://127.0.0.1:9"]


def test_a_tracker_that_is_down_costs_one_warning(
    folder: Path, store: list[Store], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(self: Store) -> None:
        raise OSError("no route\nto the host")

    monkeypatch.setattr(Store, "open", down)
    with pytest.raises(RayconError, match=r"no route$"):
        attach(folder, {"": {"a.png": b"1"}})
    path = folder / "a.png"
    path.write_bytes(b"1")
    pictures = [Picture("t", path, folder, "", "a.png")]
    with caplog.at_level(logging.WARNING, logger="raycon"):
        attach_pictures(pictures, Settings(out=folder.parent))
    assert len(caplog.messages) == 1 and "the pictures are in the report alone" in caplog.messages[0]
    caplog.clear()
    attach_pictures(pictures, Settings(out=folder.parent, tracking="off"))
    assert not caplog.messages


def test_mlflow_keeps_them_as_artifacts(out: Path) -> None:
    history = write_sweep(out / "s", [({"a.x": 1.0}, "complete", {FINE: 0.5})])
    sync(out / "s", None, out)
    assert log_digest(out / "s" / "events.jsonl") is not None
    key = history.runs[0].key
    for content in (b"old", b"new"):
        assert attach(out / "s", {key: {"embedding.png": content}, "": {"collapse.png": content}}) == 2
    child, parent = runs(out, "s")
    assert (child.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    for run, name in ((child, "embedding.png"), (parent, "collapse.png")):
        found = client(out).download_artifacts(run.info.run_id, name, str(out))
        assert Path(found).read_bytes() == b"new"
