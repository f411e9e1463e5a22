"""Every search space that is shipped, cut to a size that a test can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import raycon
from raycon.config import Trial

FOLDER = Path(raycon.__file__).parents[1] / "search_spaces"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))


def fullest_trial(name: str, *, images: int = 160, **training: Any) -> Trial:
    """The corner of a shipped file that has most parts, with `images` training images and some values of `training`."""
    space = raycon.load(FOLDER / name)
    trials = [corner.trial for corner in space.corners()]
    trial = max(trials, key=lambda t: (len(t.objective) + len(t.transforms) + len(t.networks), -trials.index(t)))
    whole = 5 * images if trial.data.long_tail else images  # about a quarter is left of a tail of 100 to 1
    data = replace(trial.data, train_size=whole, validation_size=50)
    return replace(trial, data=data, training=replace(trial.training, **training))
