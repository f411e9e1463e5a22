"""The command `ablate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from raycon.commands.options import (
    Code,
    File,
    Gpus,
    Json,
    Out,
    Quiet,
    Reuse,
    Seeds,
    Set,
    Slots,
    Storage,
    Tracking,
    Wait,
    seed_numbers,
    settings_of,
)
from raycon.commands.output import json_line, print_lines, progress_of

if TYPE_CHECKING:
    from raycon.ablation.study import Study
    from raycon.settings import Settings
    from raycon.space import Space


def ablate(
    file: File,
    overrides: Set = None,
    show_plan: Annotated[bool, typer.Option("--plan", help="Print arms, cost and power, and run nothing.")] = False,
    seeds: Seeds = None,
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
    """Run the arms of a file's ablation study on fresh paired seeds, judge its claims, and write its report."""
    from raycon.space_loading import load
    from raycon.studies import plan_study, run_count, run_study, study_plan

    settings = settings_of(out, slots, gpus, storage, tracking, wait=wait)
    space = load(file, overrides or (), code=code or ())
    study, _ = plan_study(space, {"seeds": seed_numbers(seeds)} if seeds else {}, settings)
    if show_plan:
        print_lines(*study_plan(study), *(_reused_lines(study, settings, space) if reuse else []))
        return
    with progress_of(run_count(study), space, settings, quiet, as_json, [study.score]) as observer:
        result = run_study(study, space, settings, observer, reuse=reuse)
    for found in result.answers().answers:
        row = {"contrast": found.question.label, "effect": found.interval.mean, "low": found.interval.low}
        row |= {"high": found.interval.high, "n": found.interval.n, "p": found.p, "holm_p": found.adjusted_p}
        print_lines(json_line(row | {"verdict": found.verdict}) if as_json else found.line)
    page = result.report()
    if not as_json:
        print_lines(f"score: {result.study.score}; runs: {result.folder}", f"report: {page}")


def _reused_lines(study: Study, settings: Settings, space: Space) -> list[str]:
    from raycon.execution import reusable_runs
    from raycon.reuse import origin_lines

    return origin_lines(reusable_runs(study, settings, space.code), len(study.runs))
