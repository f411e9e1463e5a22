"""The command `repeat`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raycon.commands.options import (
    Code,
    File,
    Gpus,
    Json,
    Out,
    Quiet,
    Renamed,
    Reuse,
    Seeds,
    Set,
    Slots,
    Storage,
    Tracking,
    Wait,
    seed_numbers,
    settings_of,
    with_name,
)
from raycon.commands.output import json_line, print_lines, progress_of
from raycon.errors import InvalidFile

if TYPE_CHECKING:
    from raycon.results import RepeatResult, SweepResult, Winner


def repeat(
    file: File,
    overrides: Set = None,
    seeds: Seeds = None,
    name: Renamed = None,
    run: Annotated[int | None, typer.Option(min=0, help="The run to repeat.  \\[default: the best]")] = None,
    score: Annotated[str | None, typer.Option(help="The metric to compare.  \\[default: the file's]")] = None,
    reuse: Reuse = True,
    out: Out = None,
    slots: Slots = None,
    gpus: Gpus = None,
    wait: Wait = 30,
    storage: Storage = None,
    tracking: Tracking = None,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep's winner and its rivals on fresh seeds, and print the paired differences with their intervals."""
    from raycon.repeating import repeat as run_repeat
    from raycon.repeats import score_of
    from raycon.space_loading import load_begun
    from raycon.sweep_folders import found_sweep

    settings = settings_of(out, slots, gpus, storage, tracking, wait=wait)
    space = load_begun(file, with_name(overrides, name), code or (), settings)
    sweep_result = found_sweep(space, settings)
    winner = _chosen(sweep_result, run)
    chosen = seed_numbers(seeds) if seeds else list(space.repeat.seeds)
    total = len(chosen) * (1 + len(space.repeat.against))
    shown = score or score_of(space.repeat, space.sweep)
    with progress_of(total, winner.space, settings, quiet, as_json, [shown]) as observer:
        result = run_repeat(winner, seeds=chosen, score=score, observer=observer, reuse=reuse)
    _print_differences(result, as_json)


def _chosen(result: SweepResult, number: int | None) -> Winner:
    """The run to repeat: the best one, or that of the given number."""
    from raycon.results import Winner

    runs = result.history.runs
    if number is None:
        if len(result.space.sweep.objectives) > 1:
            front = ", ".join(str(winner.run.number) for winner in result.front()) or "none"
            raise InvalidFile(f"needed, as the sweep has several objectives; its front: {front}", field="--run")
        return result.best()
    if number >= len(runs):
        raise InvalidFile(f"{result.folder.name} has runs 0 to {len(runs) - 1}, no {number}", field="--run")
    return Winner(result.space, runs[number], result.settings, result.folder.name)


def _print_differences(result: RepeatResult, as_json: bool) -> None:
    for difference in result.differences():
        row: dict[str, Any] = {"name": difference.name, "rival": difference.rival, "score": difference.score}
        row["lost"] = list(difference.lost)
        interval = difference.interval
        if interval is not None:
            row |= {
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": len(difference.seeds),
                "p": difference.p,
            }
        print_lines(json_line(row) if as_json else difference.line)
    if not as_json:
        print_lines(*(f"winner - {name}: the winner is {name} itself" for name in result.same))
        print_lines(f"score: {result.score}; runs: {result.folder}")
