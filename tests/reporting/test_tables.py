"""Tables: complete, in order, the same bytes for the same log, and equal to what the log holds."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from raycon.reporting.tables import objective_rows, run_rows, short_names, shown, to_csv, to_markdown
from tests.reporting.synthetic import ALIGNMENT, FINE, realistic_sweep, write_sweep


def test_the_csv_holds_what_the_log_holds(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s")
    rows = list(csv.DictReader(io.StringIO(to_csv(run_rows(history)))))
    assert len(rows) == 24
    for row, run in zip(rows, history.runs, strict=True):
        assert (row["number"], row["key"], row["state"]) == (str(run.number), run.key, run.state)
        assert row["seeds.split"] == "42" and row["epochs"] == str(run.last_epoch)
        for name, value in {**run.values, **run.metrics}.items():
            assert row[name] == str(value)
        if "objective.reconstruction.weight" not in run.values:
            assert row["objective.reconstruction.weight"] == ""
        if run.state == "failed":
            assert row[FINE] == ""


def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = realistic_sweep(tmp_path / "a" / "s"), realistic_sweep(tmp_path / "b" / "s")
    assert to_csv(run_rows(one)) == to_csv(run_rows(other))
    assert to_markdown(objective_rows(one)) == to_markdown(objective_rows(other))


def test_people_see_the_best_complete_run_first(tmp_path: Path) -> None:
    runs = [
        ({"a.b": 1}, "complete", {FINE: 0.5}),
        ({"a.b": 2}, "pruned", {FINE: 0.9}),
        ({"a.b": 3}, "complete", {FINE: 0.7}),
        ({"a.b": 4}, "failed", {}),
        ({"a.b": 5}, "complete", {FINE: float("nan")}),
    ]
    rows = objective_rows(write_sweep(tmp_path / "s", runs))
    assert [row["run"] for row in rows] == [2, 0, 1, 3, 4]
    lower = write_sweep(
        tmp_path / "t", [(v, s, {ALIGNMENT: m.get(FINE, 1.0)}) for v, s, m in runs], maximize=(), minimize=(ALIGNMENT,)
    )
    assert [row["run"] for row in objective_rows(lower)][:2] == [0, 2]


def test_a_markdown_table_keeps_its_columns() -> None:
    text = to_markdown([{"a": 0.123456, "b|c": "x|y"}, {"a": None, "d": True}])
    assert text.splitlines() == ["| a | b|c | d |", "|---|---|---|", "| 0.1235 | x\\|y | - |", "| - | - | true |"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.5, "0.5"), (12345.678, "1.235e+04"), (3, "3"), (False, "false"), ("a", "a")]
)
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_short_names_tell_of_what_they_are() -> None:
    names = ["objective.reconstruction.use", "objective.supcon.weight", "a.encoder.width", "b.encoder.width", "seed"]
    assert short_names(names) == {
        "objective.reconstruction.use": "reconstruction.use",
        "objective.supcon.weight": "supcon.weight",
        "a.encoder.width": "a.encoder.width",
        "b.encoder.width": "b.encoder.width",
        "seed": "seed",
    }
    assert len(set(short_names(names).values())) == len(names)


def test_a_name_that_ends_another_keeps_enough() -> None:
    assert short_names(["x.a.b", "a.b"]) == {"x.a.b": "x.a.b", "a.b": "a.b"}
