"""The commands about search spaces: `methods`, `init`, `explain`, `plan`, `schema`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raycon.commands.options import Code, File, Json, Set, Slots
from raycon.commands.output import print_aside, print_lines

if TYPE_CHECKING:
    from raycon.space import Space


def methods(as_json: Json = False) -> None:
    """List the methods: what each is about, its papers, terms and search spaces."""
    from raycon.methods import METHODS

    for method in METHODS.values():
        if as_json:
            print_lines(json.dumps(asdict(method)))
        else:
            print_lines(f"{method.name}: {method.idea}", f"    {method.paper}", f"    {', '.join(method.files)}")


def init(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method's name, as `raycon methods` lists it.")],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="The data set to write the file for.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="\\[default: METHOD_NAME.yaml]")] = None,
) -> None:
    """Write a commented search space to start from: the method's own, for a data set of your choice."""
    from raycon.starting_file import write_starting_file

    path = write_starting_file(method, data, to)
    print_lines(f"{path}: `raycon explain {path}` says what it means, `raycon sweep {path}` runs it")


def explain(file: File, overrides: Set = None, code: Code = None) -> None:
    """Print what a file means: the plan of its first configuration, its knobs, and what it costs. Reads no data."""
    from raycon.space import first_trial
    from raycon.space_loading import load

    space = load(file, overrides or (), code=code or ())
    # Only now: a file that is wrong in itself is refused before torch is loaded.
    from raycon.objective import explain as explain_trial

    print_lines(*explain_trial(first_trial(space)), *_own_lines(space), "")
    for path, hole in space.holes.items():
        print_lines(f"knob     {path}: {json.dumps(hole.plain())}")
    print_lines(f"corners  {len(space.corners())} configurations at the edges of the space, all valid")


def plan(
    file: File,
    overrides: Set = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train a few random configurations on two seeds each.")
    ] = False,
    configurations: Annotated[int, typer.Option(min=3, help="How many, for --probe.")] = 8,
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each, for --probe.")] = 2,
    slots: Slots = None,
    code: Code = None,
) -> None:
    """Print runs, seeds and time of a sweep; with --probe also whether a search can pay here."""
    from raycon.planning import make_plan
    from raycon.planning import probe as run_probe
    from raycon.space_loading import load

    def tell(done: int, of: int, score: float) -> None:
        print_aside(f"probe {done}/{of}: {score:.4f}")

    space = load(file, overrides or (), code=code or ())
    found = space.located(lambda: run_probe(space, configurations, seeds, tell)) if probe else None
    wanted = make_plan(space)
    width = slots or max((os.cpu_count() or 1) // wanted.workers, 1)
    lines = wanted.lines(width, found.seconds if found else None, asked=slots is not None)
    print_lines(*lines, *(found.lines() if found else []))


def schema() -> None:
    """Print the JSON Schema of the files, for an editor."""
    from raycon.space import json_schema

    print_lines(json.dumps(json_schema(), indent=1))


def _own_lines(space: Space) -> list[str]:
    """The user's own code, for people: hashes and names."""
    named = ", ".join(space.code.names)
    return [f"code     {', '.join(digest[:8] for digest in space.code.hashes)}: {named}"] if space.code else []
