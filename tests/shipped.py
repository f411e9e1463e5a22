"""Every search space that is shipped, cut to a size that a test can run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import raycon
from raycon.config import Trial
from raycon.datasets import describe, load_tables
from raycon.evaluation import score_encoder
from raycon.space import Space
from raycon.state import State

FOLDER = Path(raycon.__file__).parents[1] / "search_spaces"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))

SHORT = {"training.epochs": 3, "data.validation_size": 1000, "training.checkpoint_every": 3, "data.train_size": 2000}
LONG_TAIL = {**SHORT, "data.train_size": 20000}
"""A long tail leaves one in four of these images."""
BIASED = {**SHORT, "training.epochs": 6, "data.train_size": 6000}
"""Where the colour tells the label, the label's own shape is learnt late."""


def fullest_trial(name: str, *, images: int = 160, **training: Any) -> Trial:
    """The corner of a shipped file that has most parts, with `images` training images and some values of `training`."""
    space = raycon.load(FOLDER / name)
    trials = [corner.trial for corner in space.corners()]
    trial = max(trials, key=lambda t: (len(t.objective) + len(t.transforms) + len(t.networks), -trials.index(t)))
    whole = 5 * images if trial.data.long_tail else images  # about a quarter is left of a tail of 100 to 1
    data = replace(trial.data, train_size=whole, validation_size=50)
    return replace(trial, data=data, training=replace(trial.training, **training))


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


def check_that_a_short_trial_learns(name: str, settings: raycon.Settings) -> None:
    """It ends above the untrained encoder of its own seeds, on the validation score that the file searches by."""
    space = short_space(name)
    (run,) = raycon.sweep(space, trials=1, settings=settings).history.runs
    assert run.state == "complete", run.reason
    (objective,) = space.sweep.maximize[:1]
    assert run.metrics[objective] > untrained(space.trial(dict(run.values)))[objective]
