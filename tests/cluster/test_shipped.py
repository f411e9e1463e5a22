"""Every shipped search space, but those at the papers' scale: a short trial on its real data, through Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import raycon
from raycon.config import Trial
from raycon.datasets import describe, load_tables
from raycon.evaluation import score_encoder
from raycon.space import Space
from raycon.state import State
from raycon.studies import plan_study
from tests.shipped import FILES, FOLDER

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_cluster")]

SHORT = {"training.epochs": 3, "data.validation_size": 1000, "training.checkpoint_every": 3, "data.train_size": 2000}
LONG_TAIL = {**SHORT, "data.train_size": 20000}
"""A long tail leaves one in four of these images."""
BIASED = {**SHORT, "training.epochs": 6, "data.train_size": 6000}
"""Where the colour tells the label, the label's own shape is learnt late."""


def short_space(name: str) -> Space:
    """A shipped file with few images and epochs, and of the configurations that it names the last: the method's
    default. The file on digits is short as it is."""
    space = raycon.load(FOLDER / name)
    data = space.trial(dict(space.first[-1])).data
    short = LONG_TAIL if data.long_tail else BIASED if data.bias else SHORT
    overrides = [f"{path}={value}" for path, value in short.items() if not name.startswith("digits")]
    return raycon.load(FOLDER / name, [*overrides, f"sweep.first={json.dumps(space.first[-1:])}"])


def untrained(trial: Trial) -> dict[str, float]:
    """The validation scores of the encoder as it was drawn."""
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    step = State(trial).step
    assert describe(trial.data).size == tables["train"].images.shape[-1]
    return score_encoder(step, trial, tables, "validation")


@pytest.mark.parametrize("name", FILES)
def test_a_short_trial_learns(name: str, tmp_path: Path) -> None:
    """It ends above the untrained encoder of its own seeds, on the validation score that the file searches by."""
    space = short_space(name)
    settings = raycon.Settings(out=tmp_path, slots=1, tracking="off", resources={"cpu": 1})
    (run,) = raycon.sweep(space, trials=1, settings=settings).history.runs
    assert run.state == "complete", run.reason
    (objective,) = space.sweep.maximize[:1]
    assert run.metrics[objective] > untrained(space.trial(dict(run.values)))[objective]


@pytest.mark.parametrize("path", sorted((FOLDER / "ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_full_arm_of_a_shipped_study_learns(path: Path) -> None:
    """In this process: the studies' own way through Ray is tested with arms that are cheaper."""
    data = raycon.load(path).corners()[0].trial.data
    short = LONG_TAIL if data.long_tail else BIASED if data.bias else SHORT
    study, _ = plan_study(raycon.load(path, [f"{key}={value}" for key, value in short.items()]))
    trial = study.configurations["full"]
    assert raycon.train(trial)[study.score] > untrained(trial)[study.score]
