"""LaTeX: tables that compile, fit the page, and say what the CSV says."""

from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import raycon
from raycon.driver_contract import Opener
from raycon.judging import comparison_rows, judge_runs, read_runs
from raycon.reporting.latex import booktabs, escaped
from raycon.reporting.study_report import write_study_report
from raycon.reporting.sweep_latex import sweep_tables
from raycon.reporting.tables import Row
from tests import test_comparing, test_studies
from tests.replication import made_up
from tests.reporting.synthetic import ALIGNMENT, realistic_repeat, realistic_sweep

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

NASTY: list[Row] = [
    {
        "contrast": r"50 % of a_b & {c} #1 \d ~ ^ <x> $",
        "effect": -1.5e-7,
        "low": None,
        "high": None,
        "verdict": "shown",
    },
    {
        "contrast": "b" * 60,
        "effect": math.inf,
        "low": -0.5,
        "high": 0.25,
        "n": 3,
        "verdict": "a_very_long_verdict " * 6,
    },
]


def _compile(table: str, folder: Path) -> str:
    """The log of pdflatex. Fails where it does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.tex").write_text(table)
    page = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table.tex}\end{document}"
    (folder / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and (folder / "page.pdf").stat().st_size > 1000, done.stdout[-2000:]
    return done.stdout


@needs_latex
@pytest.mark.slow
def test_the_tables_of_a_study_and_a_comparison_compile_and_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = test_studies._study()
    test_studies._finish(study, tmp_path / "study")
    folder = write_study_report(tmp_path / "study").parent
    assert "Overfull" not in _compile((folder / "contrasts.tex").read_text(), tmp_path / "one")
    monkeypatch.setattr(made_up, "OPENER", Opener("lab", 7, 1.0, "", test_comparing.VERSIONS))
    for name in ("a", "a_search_of_a_long_name"):
        test_comparing._search(tmp_path, name, 3)
        test_comparing._repeat(tmp_path, name, 0.03)
    found = raycon.compare("a", "a_search_of_a_long_name", margin=0.01, settings=test_comparing._settings(tmp_path))
    folder = found.report(tmp_path / "compared").parent
    assert "Overfull" not in _compile((folder / "compare.tex").read_text(), tmp_path / "two")


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("minimize", [(), (ALIGNMENT,)], ids=["one objective", "two objectives"])
def test_the_tables_of_a_sweep_compile_and_fit(tmp_path: Path, minimize: tuple[str, ...]) -> None:
    history = realistic_sweep(tmp_path / "s", minimize=minimize)
    tables = sweep_tables(history, [realistic_repeat(tmp_path / "s-repeat-1", "s")])
    assert tables.count(r"\begin{table}") == 2
    assert "Overfull" not in _compile(tables, tmp_path / "page")


@needs_latex
@pytest.mark.slow
def test_anything_in_a_cell_compiles(tmp_path: Path) -> None:
    _compile(booktabs(NASTY, r"100 % of \this & that_there", "tab:a b_c"), tmp_path)


@needs_latex
@pytest.mark.slow
def test_the_table_of_judged_runs_fits(tmp_path: Path) -> None:
    lines = ["method,seed,linear_probe_accuracy"]
    lines += [
        f"{name},{seed},{0.5 + seed / 100 + (name != 'supcon') / 20}"
        for name in ("supcon", "ours")
        for seed in range(5)
    ]
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    rows = comparison_rows(judge_runs(read_runs(tmp_path / "runs.csv")))
    assert "Overfull" not in _compile(booktabs(rows, "caption", "tab:x"), tmp_path / "page")


def test_its_numbers_are_those_of_the_csv(tmp_path: Path) -> None:
    study, _ = test_studies._study()
    test_studies._finish(study, tmp_path)
    folder = write_study_report(tmp_path).parent
    rows = list(csv.DictReader((folder / "contrasts.csv").read_text().splitlines()))
    body = (folder / "contrasts.tex").read_text().split(r"\midrule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.strip().split("\n") if line]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        cells = [cell.strip() for cell in line.removesuffix(r"\tabularnewline").split("&")]
        assert cells[1] == f"${float(row['effect']):.4g}$"
        ends = re.fullmatch(r"\$\[(.+), (.+)\]\$", cells[2])
        assert ends is not None
        assert [float(end) for end in ends.groups()] == pytest.approx([float(row["low"]), float(row["high"])], rel=1e-2)
        assert cells[3] == row["n"] and cells[4].removeprefix(r"\raggedright ") == escaped(row["verdict"])


def test_what_is_dropped_is_dropped_only_for_want_of_room() -> None:
    narrow: list[Row] = [{"contrast": "a - b", "effect": 0.1, "low": 0.0, "high": 0.2, "p": 0.01, "Holm p": 0.02}]
    assert r" & p & " in booktabs(narrow, "c", "l")
    assert r" & p & " not in booktabs([{**narrow[0], **{f"column {n}": 1.0 for n in range(8)}}], "c", "l")


def test_a_table_without_numbers_and_one_without_values() -> None:
    assert r"\tabularnewline" in booktabs([{"a": "x", "b": "y"}], "c", "l")
    assert "--" in booktabs([{"a": None, "b": None}], "c", "l")
