"""What a sweep gives back, on synthetic logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raycon.errors import InvalidFile, RayconError
from raycon.history import read_sweep
from raycon.results import SweepResult
from raycon.settings import Settings
from raycon.space import load
from tests.reporting.synthetic import ALIGNMENT, FINE, realistic_sweep, write_sweep
from tests.tiny import tiny_file


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    realistic_sweep(folder / "thanos")
    return folder


def _result(shelf: Path, name: str, space_file: Path) -> SweepResult:
    return SweepResult(load(space_file), shelf / name, Settings(out=shelf))


def test_best_is_the_best_complete_run(shelf: Path, tmp_path: Path) -> None:
    best = _result(shelf, "thanos", tiny_file(tmp_path)).best()
    complete = [run for run in read_sweep(shelf / "thanos").runs if run.state == "complete"]
    assert best.metrics[FINE] == max(run.metrics[FINE] for run in complete)
    assert best.values == best.run.values and best.values["objective.supcon.form"] in ("in", "out")


def test_no_complete_run_has_no_best(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [({"a.x": 1}, "failed", {})])
    with pytest.raises(RayconError, match="no run of s is complete"):
        _result(tmp_path, "s", tiny_file(tmp_path)).best()


def test_front_is_what_nothing_beats(tmp_path: Path) -> None:
    points = [(0.9, 0.9), (0.8, 0.5), (0.7, 0.6), (0.5, 0.1)]
    runs: list[Any] = [({"a.x": n}, "complete", {FINE: a, ALIGNMENT: b}) for n, (a, b) in enumerate(points)]
    runs.append(({"a.x": 9}, "pruned", {FINE: 1.0, ALIGNMENT: 0.0}))
    write_sweep(tmp_path / "s", runs, minimize=(ALIGNMENT,))
    result = _result(tmp_path, "s", tiny_file(tmp_path))
    assert [winner.run.number for winner in result.front()] == [0, 1, 3]
    with pytest.raises(InvalidFile, match="name one of the objectives"):
        result.best()


def test_a_table_for_pandas(shelf: Path, tmp_path: Path) -> None:
    table = _result(shelf, "thanos", tiny_file(tmp_path)).to_pandas()
    history = read_sweep(shelf / "thanos")
    assert len(table) == 24 and list(table["key"]) == [run.key for run in history.runs]
    assert table[FINE].max() == max(run.metrics.get(FINE, 0.0) for run in history.runs)
    assert table["objective.reconstruction.weight"].isna().sum() == sum(
        "objective.reconstruction.weight" not in run.values for run in history.runs
    )
