"""The commands `ui` and `sync`: MLflow's page, and delivery to MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from raycon.commands.options import Name, Out, Tracking, settings_of
from raycon.commands.output import print_lines


def ui(
    out: Out = None,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 5000,
    host: Annotated[str, typer.Option(help="Loopback addresses only, unless --unsafe.")] = "127.0.0.1",
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Serve other hosts, without any password.")] = False,
) -> None:
    """Serve the MLflow page of the output folder, and print a link to each sweep."""
    from raycon.tracking.server import serve_ui

    raise typer.Exit(serve_ui(settings_of(out).folder, host, port, unsafe=unsafe))


def sync(name: Name, out: Out = None, tracking: Tracking = None) -> None:
    """Deliver a sweep's whole event log to MLflow again; what is there already stays once."""
    from raycon.sweep_folders import find_sweep
    from raycon.sweep_tracking import drawn_figures
    from raycon.tracking import sync as deliver

    settings = settings_of(out)
    folder = find_sweep(name, settings)
    count = deliver(folder, tracking, folder.parent, drawn_figures())
    print_lines(f"{count} events delivered")
