"""Importances recover a planted ranking, with bands, and say nothing of few runs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from raycon import importance
from raycon.importance import LEAST_RUNS, importances
from tests.reporting.synthetic import FINE, Run, write_sweep


def _runs(count: int, seed: int = 0) -> list[Run]:
    """The first knob explains most, the second some, the third nothing; the fourth is there in half of the runs."""
    draw = random.Random(seed)
    runs: list[Run] = []
    for _ in range(count):
        values: dict[str, Any] = {
            "a.first": draw.random(),
            "a.second": draw.choice(["in", "out"]),
            "a.third": draw.random(),
        }
        if draw.random() < 0.5:
            values["a.fourth"] = draw.random()
        score = values["a.first"] + 0.3 * (values["a.second"] == "in") + 0.8 * values.get("a.fourth", 0.0)
        runs.append((values, "complete", {FINE: score + draw.gauss(0, 0.01)}))
    return runs


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "RESAMPLES", 5)


def test_a_planted_ranking_is_recovered_with_a_band(tmp_path: Path) -> None:
    found = {one.knob: one for one in importances(write_sweep(tmp_path / "s", _runs(60)), FINE)}
    assert set(found) == {"a.first", "a.second", "a.third", "a.fourth"}
    assert found["a.first"].median > 2 * found["a.third"].median
    assert found["a.fourth"].median > found["a.third"].median
    assert found["a.first"].n == 60 and LEAST_RUNS <= found["a.fourth"].n < 60
    assert all(0 <= one.low <= one.median <= one.high <= 1 and one.resamples == 5 for one in found.values())


def test_the_same_log_gives_the_same_numbers(tmp_path: Path) -> None:
    one, other = (importances(write_sweep(tmp_path / name / "s", _runs(14)), FINE) for name in "ab")
    assert one == other and one


def test_few_runs_and_one_knob_say_nothing(tmp_path: Path) -> None:
    assert importances(write_sweep(tmp_path / "few", _runs(LEAST_RUNS - 1)), FINE) == []
    alone: list[Run] = [({"a.x": n, "a.y": 1}, "complete", {FINE: 0.1 * n}) for n in range(20)]
    assert importances(write_sweep(tmp_path / "one", alone), FINE) == []


def test_equal_scores_have_no_important_knob(tmp_path: Path) -> None:
    flat: list[Run] = [(values, state, {FINE: 0.5}) for values, state, _ in _runs(12)]
    assert all(one.median == 0.0 for one in importances(write_sweep(tmp_path / "s", flat), FINE))
