"""The commands `sweep` and `demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raycon.commands.options import (
    Code,
    File,
    Gpus,
    Json,
    Out,
    Quiet,
    Renamed,
    Require,
    Set,
    Slots,
    Storage,
    Tracking,
    Wait,
    settings_of,
    with_name,
)
from raycon.commands.output import json_line, print_lines, progress_of

if TYPE_CHECKING:
    from raycon.history import SweepHistory
    from raycon.results import SweepResult
    from raycon.settings import Settings
    from raycon.space import Space


def demo(out: Out = None, quiet: Quiet = False) -> None:
    """Six runs on scikit-learn's digits, without network, in about a minute: the way of a sweep from end to end."""
    from raycon.demo import demo_space

    result, settings = _sweep(demo_space(), settings_of(out), None, quiet, False)
    _conclude(result, settings)


def sweep(
    file: File,
    overrides: Set = None,
    name: Renamed = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Runs in all; more than before extends a sweep.")] = None,
    out: Out = None,
    slots: Slots = None,
    gpus: Gpus = None,
    wait: Wait = 30,
    storage: Storage = None,
    tracking: Tracking = None,
    require_tracking: Require = False,
    fork: Annotated[
        bool, typer.Option("--fork", help="If the name is taken by another search, begin beside it.")
    ] = False,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search a space with Ray Tune and Optuna. The same command continues a sweep that was interrupted."""
    from raycon.space_loading import load_begun

    settings = settings_of(out, slots, gpus, storage, tracking, require_tracking, wait)
    space = load_begun(file, with_name(overrides, name), code or (), settings)
    result, settings = _sweep(space, settings, trials, quiet, as_json, fork)
    _conclude(result, settings, as_json)


def _sweep(
    space: Space, settings: Settings, trials: int | None, quiet: bool, as_json: bool, fork: bool = False
) -> tuple[SweepResult, Settings]:
    from raycon.searching import sweep as run_sweep

    settings = replace(settings, out=settings.folder)
    wanted, total = space.sweep, trials or space.sweep.trials
    with progress_of(total, space, settings, quiet, as_json, wanted.objectives, wanted.lag + 1) as observer:
        return run_sweep(space, trials=trials, settings=settings, observer=observer, fork=fork), settings


def _conclude(result: SweepResult, settings: Settings, as_json: bool = False) -> None:
    """The end of a sweep on stdout: table, best configuration, report, and where to look."""
    from raycon.reporting.tables import objective_rows, short_names, shown, to_markdown
    from raycon.reports import report as write

    history = result.history
    rows = objective_rows(history)
    if as_json:
        print_lines(*(json_line(row) for row in rows))
        return
    names = short_names(list(dict.fromkeys(name for row in rows for name in row if "." in name)))
    print_lines(to_markdown([{names.get(key, key): value for key, value in row.items()} for row in rows]).rstrip(), "")
    objectives = result.space.sweep.objectives
    if len(objectives) == 1:
        best, objective = result.best(), objectives[0]
        print_lines(f"best: run {best.run.number}, {objective} = {shown(best.metrics[objective])}")
        print_lines(*(f"  {path} = {shown(value)}" for path, value in best.values.items()))
    else:
        print_lines(f"Pareto front: runs {', '.join(str(winner.run.number) for winner in result.front())}")
    print_lines("", f"report: {write(history.name, settings=settings)}")
    if settings.tracking != "off":
        print_lines(*_tracking_lines(history, result.folder, settings))


def _tracking_lines(history: SweepHistory, folder: Path, settings: Settings) -> list[str]:
    """Where the sweep is seen in MLflow; nothing where nothing was delivered."""
    from raycon.tracking import resolve_uri
    from raycon.tracking.redaction import redact_text
    from raycon.tracking.server import sweep_link

    uri = resolve_uri(settings.tracking, settings.folder)
    served = uri.startswith("http")
    link = sweep_link(history, folder, redact_text(uri) if served else "http://127.0.0.1:5000")
    if link is None:
        return []
    return [f"MLflow: {link}" if served else f"MLflow: `raycon ui --out {settings.folder}`, then {link}"]
