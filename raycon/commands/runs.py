"""The commands `raycon runs`: what the logs in the output folder say."""

from __future__ import annotations

import json

import typer

from raycon.commands.options import Json, Name, Out
from raycon.commands.output import json_line, print_aside, print_lines, print_values
from raycon.errors import RayconError

runs_app = typer.Typer(no_args_is_help=True, help="What the event logs in the output folder say.")


@runs_app.command("ls")
def runs_ls(out: Out = None, as_json: Json = False) -> None:
    """The sweeps in the output folder."""
    from raycon.history import LOG_NAME, read_sweep
    from raycon.settings import Settings
    from raycon.submissions import without_sweep

    folder = Settings(out=out).folder
    unreadable = 0
    for path in sorted(folder.glob(f"*/{LOG_NAME}")):
        try:
            history = read_sweep(path.parent)
        except RayconError as error:
            unreadable += 1
            told = {"name": path.parent.name, "error": str(error)}
            print_lines(json.dumps(told) if as_json else f"{path.parent.name:<40} unreadable: {error}")
            continue
        name = history.name or path.parent.name
        row = {"name": name, "wanted": history.trials, "runs": history.counts()}
        counts = ", ".join(f"{count} {state}" for state, count in sorted(history.counts().items()))
        line = f"{name:<40} {len(history.runs)}/{history.trials} runs: {counts}"
        print_lines(json.dumps(row) if as_json else line)
    print_aside(*(one.line for one in without_sweep(folder)))
    if unreadable:
        raise typer.Exit(1)


@runs_app.command("show")
def runs_show(name: Name, out: Out = None, as_json: Json = False) -> None:
    """The runs of a sweep, best first."""
    from raycon.history import read_sweep
    from raycon.reporting.tables import objective_rows, to_markdown
    from raycon.settings import Settings
    from raycon.submissions import read_submissions
    from raycon.sweep_folders import find_sweep

    history = read_sweep(folder := find_sweep(name, Settings(out=out)))
    rows = objective_rows(history)
    print_lines(*(json_line(row) for row in rows) if as_json else [to_markdown(rows).rstrip()])
    print_aside(*(one.line for one in read_submissions(folder.parent, folder.name)))
    for run in history.runs:
        if run.state in ("failed", "diverged", "out_of_memory"):
            print_aside(f"run {run.number}: {run.state}: {run.reason}")


@runs_app.command("best")
def runs_best(name: Name, out: Out = None, as_json: Json = False) -> None:
    """The best configuration of a sweep; the Pareto front of one with several objectives."""
    from raycon.history import read_sweep
    from raycon.settings import Settings
    from raycon.sweep_folders import find_sweep

    history = read_sweep(find_sweep(name, Settings(out=out)))
    found = history.pareto_front() if len(history.maximize) + len(history.minimize) > 1 else [history.best()]
    for run in found:
        if run is None:
            raise RayconError(f"no run of {history.name} is complete")
        print_values({"run": run.number, "key": run.key, **run.values, **run.metrics}, as_json)
