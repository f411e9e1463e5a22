"""Small trials on the embedded digits, for tests of the loop."""

from __future__ import annotations

from typing import Any

from raycon.config import Trial
from raycon.space import trial_from


def small_trial(**changes: Any) -> Trial:
    """Two epochs of five steps on digits with every kind of part; `changes` are dotted paths with __ for dots."""
    plain: dict[str, Any] = {
        "data": {
            "dataset": "digits",
            "labels": "coarse",
            "coarse": "low_high",
            "train_size": 160,
            "validation_size": 100,
        },
        "augmentation": {"scale": [0.8, 1.0], "shift": 0.1, "contrast": [0.8, 1.2], "brightness": 0.05},
        "encoder": {"name": "convnet", "width": 4, "depth": 4, "projection": [16, 8]},
        "objective": {
            "supcon": {"weight": 0.7, "temperature": 0.1},
            "class_conditional_infonce": {"weight": 0.3, "temperature": 0.1},
            "reconstruction": {"weight": 1.0},
            "cross_entropy": {"weight": 0.5},
        },
        "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "optimiser": "adamw", "score_every": 1},
        "scores": {"coarse_to_fine": {}, "nearest_neighbours": {}, "geometry": {}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = plain
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return trial_from(plain)
