"""The rows behind a sweep's LaTeX: one a configuration, fresh seeds apart from the seed that chose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raycon.history import SWEEP_NAME, read_sweep
from raycon.repeats import paired_differences
from raycon.reporting.sweep_latex import configuration_rows, difference_rows, sweep_tables
from raycon.statistics import paired_interval
from tests.reporting.synthetic import ALIGNMENT, FINE, SEEDS, Book, realistic_repeat, realistic_sweep, write_sweep


def _trial(temperature: float, seed: int) -> dict[str, object]:
    objective = {"supcon": {"weight": 1.0, "temperature": temperature}}
    return {"training": {"epochs": 6}, "objective": objective, "seeds": {name: seed for name in SEEDS}}


def _sweep_and_repeat(folder: Path) -> tuple[Path, Path]:
    """Three runs of a search; on fresh seeds the best of them, and one that the search did not try."""
    sweep, repeat = folder / "s", folder / "s-repeat-1"
    book = Book(sweep, trials=3)
    for temperature, score in ((0.1, 0.7), (0.2, 0.8), (0.3, 0.75)):
        book.run(
            {"objective.supcon.temperature": temperature}, "complete", {FINE: score}, trial=_trial(temperature, 42)
        )
    book.close()
    book = Book(repeat, trials=6)
    plain = {"winner": _trial(0.2, 42), "other": _trial(0.9, 42)}
    (repeat / SWEEP_NAME).write_text(
        json.dumps({"canonical": {"repeat_of": "s", "score": FINE, "configurations": plain}})
    )
    for seed, (ours, theirs) in enumerate(((0.71, 0.6), (0.74, 0.62), (0.72, 0.61)), start=1):
        for name, score in (("winner", ours), ("other", theirs)):
            book.run({"configuration": name, "seed": seed}, "complete", {FINE: score})
    book.close()
    return sweep, repeat


def test_repeated_configurations_come_first_and_once(tmp_path: Path) -> None:
    sweep, repeat = _sweep_and_repeat(tmp_path)
    winner, other, *runs = configuration_rows(read_sweep(sweep), [read_sweep(repeat)])
    interval = paired_interval([0.71, 0.74, 0.72])
    assert winner == {
        "configuration": "winner (run 1)", "search": 0.8, "fresh mean": pytest.approx(interval.mean),
        "low": interval.low, "high": interval.high, "n": 3, "knobs": "supcon.temperature 0.2",
    }  # fmt: skip
    assert (other["configuration"], other["search"], other["knobs"]) == ("other", None, "supcon.temperature 0.9")
    assert [(row["configuration"], row["search"], row["n"]) for row in runs] == [
        ("run 2", 0.75, None),
        ("run 0", 0.7, None),
    ]
    assert difference_rows(read_sweep(repeat))[0]["verdict"] == "shown"
    assert f"$[{interval.low:.3g}, {interval.high:.3g}]$" in sweep_tables(read_sweep(sweep), [read_sweep(repeat)])


def test_the_differences_are_those_of_the_report(tmp_path: Path) -> None:
    history = realistic_repeat(tmp_path / "r", "s")
    rows = difference_rows(history)
    assert [row["images"] for row in rows] == ["validation"] * 2 + ["test"] * 2
    told = [*paired_differences(history, FINE)]
    assert [(row["n"], row["difference"], row["Holm p"]) for row in rows[:2]] == [
        (len(one.seeds), one.interval and one.interval.mean, one.adjusted_p) for one in told
    ]
    assert all(f"({row['verdict']})" in one.line for row, one in zip(rows, told, strict=False))


def test_two_objectives_show_their_front(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s", minimize=(ALIGNMENT,))
    rows = configuration_rows(history, [])
    front = {run.number for run in history.pareto_front()}
    assert {int(row["configuration"].removeprefix("run ")) for row in rows} <= front
    assert {"accuracy", "alignment"} <= set(rows[0])
    assert "alignment (less is better)" in sweep_tables(history, []).replace(r"\_\hspace{0pt}", "_")


def test_a_sweep_without_a_result_has_no_table(tmp_path: Path) -> None:
    assert sweep_tables(write_sweep(tmp_path / "s", [({"a.x": 1.0}, "diverged", {})]), []) == ""
