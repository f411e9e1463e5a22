"""A training folder belongs to one configuration and one process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import raycon
from raycon import train_folder
from raycon.checkpoint_storage import checkpoint_place, written_to
from raycon.checkpoints import write_checkpoint
from raycon.errors import InvalidFile, Refused
from raycon.train_folder import claimed, claimed_place, default_folder
from tests.training.trials import small_trial


def test_the_same_configuration_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    trial = small_trial(training__epochs=1)
    first = raycon.train(trial, folder=tmp_path)
    assert raycon.train(trial, folder=tmp_path) == first
    with pytest.raises(Refused, match=r"objective\.supcon\.temperature: 0\.1 -> 0\.5"):
        raycon.train(small_trial(training__epochs=1, objective__supcon__temperature=0.5), folder=tmp_path)


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    trial = small_trial()
    with claimed(tmp_path, trial) as newest:
        assert newest is None
        with pytest.raises(Refused, match="locked by pid"):
            raycon.train(trial, folder=tmp_path)


def test_checkpoints_of_unknown_origin_are_not_taken(tmp_path: Path) -> None:
    raycon.train(small_trial(training__epochs=1), folder=tmp_path)
    (tmp_path / "trial.json").unlink()
    with pytest.raises(Refused, match="not known"):
        raycon.train(small_trial(training__epochs=1), folder=tmp_path)


def test_every_configuration_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {default_folder(tmp_path, small_trial(seeds__init=seed)) for seed in range(3)}
    assert len(folders) == 3
    assert default_folder(tmp_path, small_trial()) == default_folder(tmp_path, small_trial())


def test_several_workers_share_a_place_on_object_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, uri = small_trial(), f"file://{tmp_path}/shared"
    # Such a URI is a folder elsewhere; here it stands for a bucket.
    monkeypatch.setattr(train_folder, "checked", str)
    place = default_folder("s3://bucket/raycon?region=x", trial)
    assert place == f"s3://bucket/raycon/train/{str(default_folder(tmp_path, trial)).rsplit('/', 1)[1]}?region=x"
    with pytest.raises(InvalidFile, match="folder: one worker"), claimed("s3://bucket/x", trial):
        pass
    with claimed_place(uri, trial) as found:
        assert found == (uri, None)
    with written_to(checkpoint_place(uri, 1, 3)) as folder:
        write_checkpoint(folder, {"weights": torch.zeros(1)}, {})
    with claimed_place(uri, trial) as found:
        assert found == (uri, checkpoint_place(uri, 1, 3))
    with pytest.raises(Refused, match="holds a run of another"), claimed_place(uri, small_trial(seeds__init=7)):
        pass


def test_weights_of_several_workers_lie_on_the_shared_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from raycon.cluster import direct

    asked: list[Mapping[str, Any]] = []

    def train_workers(assignment: Mapping[str, Any], workers: int, **more: Any) -> dict[str, float]:
        asked.append(assignment)
        return {}

    monkeypatch.setattr(direct, "train_workers", train_workers)
    monkeypatch.setenv("RAYCON_OUT", str(tmp_path / "out"))
    raycon.train(small_trial(), workers=2)
    monkeypatch.setenv("RAYCON_STORAGE", str(tmp_path / "shared"))
    raycon.train(small_trial(), workers=2)
    raycon.train(small_trial(), workers=2, folder=tmp_path / "named")
    name = asked[0]["key"]
    places = [tmp_path / "out" / "train" / name, tmp_path / "shared" / "train" / name, tmp_path / "named"]
    assert [assignment["folder"] for assignment in asked] == [str(place) for place in places]
