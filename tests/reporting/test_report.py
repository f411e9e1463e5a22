"""The report of a sweep: a page, CSV files and pictures from the log, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from raycon import importance
from raycon.errors import RayconError
from raycon.history import read_sweep
from raycon.repeats import paired_differences
from raycon.reporting.report import write_report
from raycon.reporting.tables import run_rows, to_csv
from tests.reporting.synthetic import ALIGNMENT, FINE, realistic_repeat, realistic_sweep, write_repeat, write_sweep


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forests take their time, and their number is tested elsewhere."""
    monkeypatch.setattr(importance, "RESAMPLES", 2)


def test_a_report_without_repetition(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s")
    page = write_report(tmp_path / "s")
    text = page.read_text()
    best = history.best()
    assert best is not None and f"- best run: {best.number} (`{best.key}`), {best.metrics[FINE]:.4f}" in text
    assert "18 complete, 1 diverged, 1 failed, 4 pruned" in text and "split 42" in text
    assert "| reconstruction.use |" in text and "| use |" not in text
    assert "Fresh seeds" not in text and "test/" not in text
    assert {path.name for path in page.parent.iterdir()} == {
        *("report.md", "report.html", "report.json", "report.tex", "runs.csv", "sweep.png"),
        *("budget.csv", "budget.png", "importance.csv", "importance.png"),
    }
    assert (page.parent / "runs.csv").read_text() == to_csv(run_rows(history))


def test_a_report_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s")
    realistic_repeat(tmp_path / "s-repeat-1", "s")

    def content() -> dict[str, bytes]:
        page = write_report(tmp_path / "s", [tmp_path / "s-repeat-1"])
        return {path.name: path.read_bytes() for path in page.parent.iterdir()}

    first = content()
    assert len(first) == 12
    assert content() == first


def test_a_report_with_a_repetition_and_its_test_scores(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s")
    realistic_repeat(tmp_path / "s-repeat-1", "s")
    text = write_report(tmp_path / "s", [tmp_path / "s-repeat-1"]).read_text()
    history = read_sweep(tmp_path / "s-repeat-1")
    test = FINE.replace("validation", "test")
    for difference in [*paired_differences(history, FINE), *paired_differences(history, test, test=True)]:
        assert f"- {difference.line}\n" in text + "\n"
    assert text.count("1 of 5 pairs lost (seed 104: plain_supcon diverged)") == 2
    assert "Test split, opened" in text and test in text


def test_a_repetition_without_test_scores_shows_none(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s")
    write_repeat(tmp_path / "r", "s", {"winner": {1: 0.5, 2: 0.6}, "plain": {1: 0.4, 2: 0.4}})
    text = write_report(tmp_path / "s", [tmp_path / "r"]).read_text()
    assert "## Fresh seeds: r" in text and "Test split" not in text


def test_two_objectives_name_their_front(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s", minimize=(ALIGNMENT,))
    text = write_report(tmp_path / "s").read_text()
    numbers = ", ".join(str(run.number) for run in history.pareto_front())
    assert f"runs {numbers}." in text and "front.png" in text and "best run" not in text


@pytest.mark.parametrize("state", ["failed", "unfinished", "diverged"])
def test_a_sweep_without_a_complete_run_has_a_report(tmp_path: Path, state: str) -> None:
    write_sweep(tmp_path / "s", [({"a.x": 1.0}, state, {})])
    text = write_report(tmp_path / "s").read_text()
    assert f"1 {state}" in text and "sweep.png" not in text


def test_a_sweep_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [])
    assert "# s" in write_report(tmp_path / "s").read_text()


def test_no_sweep_no_report(tmp_path: Path) -> None:
    with pytest.raises(RayconError, match="holds no sweep"):
        write_report(tmp_path)
