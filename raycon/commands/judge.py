"""The command `judge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raycon.commands.options import Json
from raycon.commands.output import json_line, print_lines


def judge(
    runs: Annotated[Path, typer.Argument(metavar="RUNS.csv", help="A run a line; exports of MLflow and W&B will do.")],
    method: Annotated[str | None, typer.Option(help="The column of methods.  \\[default: found by name]")] = None,
    seed: Annotated[str | None, typer.Option(help="The column of seeds.  \\[default: found by name]")] = None,
    score: Annotated[list[str] | None, typer.Option(help="A column of scores.  \\[default: all that vary]")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with.  \\[default: the first]")
    ] = None,
    lower: Annotated[list[str] | None, typer.Option(help="A score: less is better.  \\[default: by its name]")] = None,
    higher: Annotated[list[str] | None, typer.Option(help="A score: more is better.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Also write the table as LaTeX.")] = None,
    as_json: Json = False,
) -> None:
    """Judge a table of runs from anywhere: paired intervals, Holm, power, and what a reviewer would ask."""
    from raycon.judging import comparison_rows, judge_runs, read_runs

    table = read_runs(runs, method=method, seed=seed, scores=score or ())
    judged = judge_runs(table, baseline=baseline, lower=lower or (), higher=higher or ())
    rows = comparison_rows(judged)
    if as_json:
        print_lines(*(json_line(row) for row in rows), *(json_line({"warning": text}) for text in judged.warnings))
    else:
        from raycon.reporting.tables import to_markdown

        print_lines(to_markdown(rows).rstrip(), "", judged.caption, "")
        print_lines(*(f"warning: {text}" for text in judged.warnings))
    if latex is not None:
        from raycon.reporting.latex import booktabs

        latex.write_text(booktabs(rows, judged.caption, f"tab:{runs.stem}"), encoding="utf-8")
