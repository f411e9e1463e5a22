"""Which label a score is about, and what a guess would score."""

from __future__ import annotations

import math

import pytest
import torch

from raycon.metric_names import METRICS
from raycon.scores.about import CLASSES, COARSE, FIXED, LABELS, OTHER, SUBJECTS, Guess, chance_of, guess_of, subject_of

GUESSES = {
    LABELS: Guess("coarse", 2, 0.7),
    CLASSES: Guess("class", 10, 0.2),
    COARSE: Guess("coarse", 2, 0.7),
    OTHER: Guess("class of mnist", 10),
}


def test_a_guess_is_the_label_most_frequent_in_training() -> None:
    train, judged = torch.tensor([3, 3, 3, 5, 5, 8]), torch.tensor([5, 3, 5, 8, 3, 9, 5, 5])
    assert guess_of("class", train, judged) == Guess("class", 3, 2 / 8)


def test_all_names_with_a_level_of_their_own_are_metrics() -> None:
    assert set(SUBJECTS) <= set(METRICS) and set(FIXED) <= set(METRICS)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_chance_of_every_accuracy_is_that_of_a_guess(name: str) -> None:
    """Of images as they come the most frequent label, of means over labels and groups a uniform guess."""
    found = chance_of(f"validation/{name}", GUESSES)
    if METRICS[name].counted:
        assert found == GUESSES[subject_of(f"validation/{name}") or ""].frequent
    elif name.endswith("accuracy") or "accuracy_" in name:
        assert found in (0.5, 0.1, 0.7)
    elif METRICS[name].unit != "fraction":
        assert found is None or name.startswith(("calibration/", "estimated_groups/agreement"))


@pytest.mark.parametrize(
    ("name", "chance"),
    [
        ("linear_probe/accuracy", 0.7),
        ("linear_probe/balanced_accuracy", 0.5),
        ("coarse_to_fine/accuracy", 0.2),
        ("transfer/accuracy", 0.1),
        ("few_shot/accuracy_5", 0.5),
        ("few_shot/half_width_5", None),
        ("groups/group_7_accuracy", 0.5),
        ("groups/worst_low", None),
        ("corruptions/fog_accuracy", 0.7),
        ("corruptions/mean_error", None),
        ("subgroup_ranking/group_3_area", 0.5),
        ("out_of_distribution/false_alarms", 0.95),
        ("calibration/log_loss", math.log(2)),
        ("calibration/brier", 0.5),
        ("geometry/uniformity", None),
    ],
)
def test_levels_of_chance(name: str, chance: float | None) -> None:
    assert chance_of(f"test/{name}", GUESSES) == chance
