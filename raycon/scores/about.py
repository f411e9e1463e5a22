"""What a score is about: which label it judges, and what a guess that sees no image would score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LABELS, CLASSES, COARSE, OTHER = "labels", "class", "coarse", "other"

SUBJECTS: dict[str, str | None] = {
    "coarse_to_fine/accuracy": CLASSES,
    "coarse_to_fine/coarse_accuracy": COARSE,
    "geometry/uniformity": None,
    "geometry/effective_rank": None,
    "geometry/rank_me": None,
    "geometry/subclass_separability": CLASSES,
    "groups/smallest_size": None,
    "groups/missing": None,
    "estimated_groups/count": None,
    "out_of_distribution/area": None,
    "out_of_distribution/false_alarms": None,
    "transfer/accuracy": OTHER,
    "transfer/balanced_accuracy": OTHER,
}
"""`protocol/metric` -> which label it is about; None: about none. All others are about that which `data.labels`
names."""

FREQUENT = ("linear_probe/accuracy", "nearest_neighbours/accuracy", "sgd_probe/accuracy", "coarse_to_fine/",
            "groups/average_accuracy", "groups/adjusted_accuracy", "estimated_groups/robust_accuracy", "corruptions/",
            "fine_tune/")  # fmt: skip
"""Accuracies over images as they come, of which the most frequent label is a good guess."""

FIXED = {
    "out_of_distribution/area": 0.5,
    "out_of_distribution/false_alarms": 0.95,
    "subgroup_ranking/area": 0.5,
    "subgroup_ranking/worst_area": 0.5,
    "estimated_groups/agreement": 0.0,
}


@dataclass(frozen=True)
class Guess:
    """attribute: a label. count: how many of its values training has. frequent: the share of the images judged that
    have the value most frequent in training; None where that is not known."""

    attribute: str
    count: int
    frequent: float | None = None


def guess_of(attribute: str, train: Tensor, judged: Tensor) -> Guess:
    """From the labels, int64 [m] and [n], with which probes are fitted and judged."""
    values, counts = torch.unique(train, return_counts=True)
    frequent = float((judged == values[counts.argmax()]).double().mean())
    return Guess(attribute, len(values), frequent)


def subject_of(name: str) -> str | None:
    """Which label `split/protocol/metric` is about: LABELS, CLASSES, COARSE, OTHER (another data set's classes) or
    None."""
    rest = name.split("/", 1)[1]
    return SUBJECTS.get(rest, LABELS)


def chance_of(name: str, guesses: Mapping[str, Guess]) -> float | None:
    """What `split/protocol/metric` would be for a guess that sees no image: for accuracies over images as they come
    always the label most frequent in training, for means over labels or groups, and for the calibration of
    probabilities, a uniform guess; a ranking is 0.5. None where there is no such level.

    guesses: by subject. The choice of the guess is ours.
    """
    rest = name.split("/", 1)[1]
    if rest in FIXED:
        return FIXED[rest]
    if rest.startswith("subgroup_ranking/"):
        return 0.5
    guess = guesses.get(subject_of(name) or "")
    if guess is None:
        return None
    uniform = {"calibration/log_loss": math.log(guess.count), "calibration/brier": 1 - 1 / guess.count}
    if rest in uniform:
        return uniform[rest]
    last = rest.rsplit("/", 1)[1]
    if "accuracy" not in last or last.endswith(("_low", "_high")):
        return None
    if guess.frequent is not None and rest.startswith(FREQUENT):
        return guess.frequent
    return 1 / guess.count
