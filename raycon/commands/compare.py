"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raycon.commands.options import Json, Out
from raycon.commands.output import json_line, print_lines


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Sweeps, repetitions or studies; NAME:ARM for one of its arms."),
    ],
    score: Annotated[
        list[str] | None, typer.Option(help="The metric to compare; several may be named.  \\[default: the sides' own]")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="The smallest difference of interest.")] = None,
    alpha: Annotated[float, typer.Option(help="The family-wise error rate.", min=0.0001, max=0.5)] = 0.05,
    unequal_budgets: Annotated[
        bool, typer.Option("--unequal-budgets", help="Compare although budgets differ; the table is marked.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where the report goes.  \\[default: below --out]")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare winners, repetitions or arms of studies on the seeds that they share, at equal budgets."""
    from raycon.comparing import compare as run_compare
    from raycon.reporting.comparison import default_folder, pair_rows
    from raycon.reporting.tables import to_markdown
    from raycon.settings import Settings

    settings = Settings(out=out)
    found = run_compare(
        *names, scores=score or (), margin=margin, alpha=alpha, unequal_budgets=unequal_budgets, settings=settings
    )
    page = found.report(to or default_folder(found, settings.folder))
    rows = pair_rows(found)
    if as_json:
        print_lines(*(json_line(row) for row in rows))
        return
    if found.unequal:
        print("UNEQUAL BUDGETS", *(f"  {line}" for line in found.unequal), "", sep="\n")
    print(to_markdown(rows))
    print(f"report: {page}")
