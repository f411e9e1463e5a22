"""The command `report`."""

from __future__ import annotations

from typing import Annotated

import typer

from raycon.commands.options import Name, Out, Tracking, settings_of
from raycon.commands.output import print_aside, print_lines


def report(
    name: Name,
    out: Out = None,
    test: Annotated[
        bool, typer.Option("--test", help="Open the test set for its repetitions; that is counted.")
    ] = False,
    embedding: Annotated[
        str, typer.Option(help="Pictures of finalists: pca, tsne or umap; none: no pictures that need weights.")
    ] = "pca",
    tracking: Tracking = None,
) -> None:
    """Write the report of a sweep and its repetitions: a page, CSV files and pictures."""
    from raycon.reports import report as write

    page = write(
        name,
        settings=settings_of(out, tracking=tracking),
        test=test,
        embedding=embedding,
        on_run=lambda run: print_aside(f"tested {run.key}"),
    )
    print_lines(page.read_text().rstrip(), "", f"report: {page}")
