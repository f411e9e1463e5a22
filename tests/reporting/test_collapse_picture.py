"""Collapse over epochs: the log's values, with the untrained level as epoch 0."""

from __future__ import annotations

import math
from pathlib import Path

from raycon.reporting.collapse_picture import PREFIX, collapse_picture, course_of, shown_measures
from tests.reporting.images import is_drawn
from tests.reporting.synthetic import EPOCHS, FINE, write_sweep

RANK, SPREAD = f"{PREFIX}effective_rank", f"{PREFIX}alignment"


def test_a_course_is_what_the_log_says(tmp_path: Path) -> None:
    run = write_sweep(tmp_path / "s", [({"a.x": 1}, "complete", {FINE: 0.5, RANK: 20.0})]).runs[0]
    course = course_of("best", run)
    assert course.values["effective_rank"] == run.course(RANK)
    assert course.values["effective_rank"][EPOCHS] == 20.0 and len(course.values["effective_rank"]) == EPOCHS
    assert course.values["alignment"] == {}
    whole = course_of("best", run, {RANK: 40.0, SPREAD: 1.5}, {RANK: 21.0, SPREAD: 0.5})
    assert whole.values["effective_rank"] == {0: 40.0, **run.course(RANK)}
    assert whole.values["alignment"] == {0: 1.5, EPOCHS: 0.5}


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    run = write_sweep(tmp_path / "s", [({"a.x": 1}, "complete", {FINE: 0.5, RANK: math.nan})]).runs[0]
    assert EPOCHS not in course_of("best", run, {RANK: math.inf}).values["effective_rank"]
    assert 0 not in course_of("best", run, {RANK: math.inf}).values["effective_rank"]


def test_a_measure_needs_more_than_its_untrained_level(tmp_path: Path) -> None:
    run = write_sweep(tmp_path / "s", [({"a.x": 1}, "complete", {FINE: 0.5, RANK: 20.0})]).runs[0]
    assert shown_measures([course_of("best", run, {SPREAD: 1.5})]) == ["effective_rank"]
    bare = write_sweep(tmp_path / "t", [({"a.x": 1}, "complete", {FINE: 0.5})]).runs[0]
    assert collapse_picture("t", [course_of("best", bare, {RANK: 1.0})]) is None and collapse_picture("t", []) is None


def test_every_course_has_a_line(tmp_path: Path) -> None:
    runs = write_sweep(tmp_path / "s", [({"a.x": n}, "complete", {FINE: 0.5, RANK: 20.0 + n}) for n in range(3)]).runs
    one, two, three = (course_of(name, run) for name, run in zip(("a", "b", "a"), runs, strict=True))
    pictures = [collapse_picture("t", courses) for courses in ([one], [one, two], [one, two, three])]
    assert all(drawn is not None and is_drawn(drawn) for drawn in pictures)
    assert len(set(pictures)) == 3 and collapse_picture("t", [one, two, three]) == pictures[2]
    level = collapse_picture("t", [course_of("a", runs[0], {RANK: 40.0})])
    assert level is not None and level != pictures[0]
