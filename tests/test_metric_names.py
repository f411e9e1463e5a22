"""Metric names: three parts, one table, nearest names, and what a search may look at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raycon.errors import InvalidFile
from raycon.metric_names import METRICS, direction, known_names, metric, searchable


def test_every_known_name_is_found_and_has_three_parts() -> None:
    names = known_names()
    assert len(names) == len(set(names)) > len(METRICS)
    for name in names:
        assert len(name.split("/")) == 3
        assert metric(name) is METRICS[name.split("/", 1)[1]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("validation/linear_probe/accuracy", "higher"),
        ("test/groups/worst_accuracy", "higher"),
        ("validation/geometry/alignment", "lower"),
        ("validation/geometry/uniformity", "lower"),
        ("validation/groups/missing", "none"),
        ("validation/groups/group_0_accuracy", "higher"),
        ("validation/groups/group_19_size", "none"),
        ("train/objective/total", "lower"),
        ("train/objective/learning_rate", "none"),
        ("train/objective/spread", "lower"),
        ("train/speed/images_per_second", "higher"),
    ],
)
def test_directions(name: str, expected: str) -> None:
    assert direction(name) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("accuracy", "three parts"),
        ("validation/linear_probe", "three parts"),
        ("validation/linear_probe/accuracy/extra", "three parts"),
        ("report/test/linear_probe/accuracy", "three parts"),
        ("validation//accuracy", "three parts"),
        ("", "three parts"),
        ("valid/linear_probe/accuracy", "did you mean 'validation/linear_probe/accuracy'"),
        ("validation/linear_probe/acuracy", "did you mean 'validation/linear_probe/accuracy'"),
        ("validation/linearprobe/accuracy", "did you mean 'validation/linear_probe/accuracy'"),
        ("validation/groups/group_x_accuracy", "not a known metric"),
        ("validation/groups/group_007_accuracy", "not a known metric"),
        ("validation/groups/group_1_accuracy ", "not a known metric"),
        ("validation/objective/total", "while training only"),
        ("test/speed/seconds", "while training only"),
        ("train/objective/a b", "not a known metric"),
    ],
)
def test_other_names_are_refused(name: str, words: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        metric(name)
    assert words in refused.value.reason


def test_only_validation_scores_with_a_direction_can_be_searched_for() -> None:
    for name in known_names():
        split, rest = name.split("/", 1)
        if split == "validation" and METRICS[rest].direction != "none":
            assert searchable(name) is METRICS[rest]
        else:
            with pytest.raises(InvalidFile, match="cannot be searched for"):
                searchable(name)
    assert searchable("validation/groups/group_3_accuracy").direction == "higher"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test/linear_probe/accuracy", "never sees the test set (did you mean 'validation/linear_probe/accuracy'?)"),
        ("train/linear_probe/accuracy", "kept apart"),
        ("train/objective/total", "kept apart"),
        ("train/objective/spread", "kept apart"),
        ("validation/groups/smallest_size", "neither high nor low"),
        ("validation/groups/group_3_size", "neither high nor low"),
    ],
)
def test_the_refusal_says_why(name: str, words: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        searchable(name)
    assert words in refused.value.reason


def test_the_table_and_the_statistics_load_no_torch() -> None:
    code = "import sys, raycon.metric_names, raycon.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
