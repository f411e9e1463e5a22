"""Every shipped search space but those at the papers' scale: a short sweep on its real data, through Ray, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.config import Trial
from raycon.datasets import describe, load_tables
from raycon.evaluation import score_encoder
from raycon.state import State
from tests.shipped import FILES, FOLDER

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_cluster")]

SHORT = ("training.epochs=3", "data.train_size=2000", "data.validation_size=1000", "training.checkpoint_every=3")


def untrained(trial: Trial) -> dict[str, float]:
    """The validation scores of the encoder as it was drawn."""
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    step = State(trial).step
    assert describe(trial.data).size == tables["train"].images.shape[-1]
    return score_encoder(step, trial, tables, "validation")


@pytest.mark.parametrize("name", FILES)
def test_a_short_sweep_learns(name: str, tmp_path: Path) -> None:
    """The configurations that the file names run first; each ends above the untrained encoder of its own seeds."""
    space = raycon.load(FOLDER / name, () if name.startswith("digits") else SHORT)
    assert space.sweep.first, "a file names its baseline and its method's default"
    settings = raycon.Settings(out=tmp_path, slots=2, tracking="off", resources={"cpu": 1})
    result = raycon.sweep(space, trials=len(space.sweep.first), settings=settings)
    (objective,) = space.sweep.maximize[:1]
    for run in result.history.runs:
        assert run.state == "complete", (run.key, run.state, run.reason)
        assert run.metrics[objective] > untrained(space.trial(dict(run.values)))[objective], run.key
