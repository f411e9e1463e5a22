"""A training folder belongs to one configuration and one process."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.errors import Refused
from raycon.train_folder import claimed, default_folder
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
