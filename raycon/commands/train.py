"""The command `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raycon.commands.options import Code, File, Gpus, Json, Out, Quiet, Set, settings_of
from raycon.commands.output import print_aside, print_values


def train(
    file: File,
    overrides: Set = None,
    workers: Annotated[int, typer.Option(min=1, help="Several train one model together, with Ray Train.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Where checkpoints go, and an earlier run goes on.  \\[default: below --out]")
    ] = None,
    out: Out = None,
    gpus: Gpus = None,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one configuration: the first of the file, changed by --set. Prints its final scores."""
    from raycon.one_trial import train as run_train
    from raycon.runs import Progress, Scored
    from raycon.space import first_trial
    from raycon.space_loading import load
    from raycon.train_folder import default_folder

    def tell(event: Progress | Scored) -> None:
        if not quiet:
            place = f"step {event.step}/{event.steps}" if isinstance(event, Progress) else "done"
            shown = {name: round(value, 4) for name, value in event.metrics.items() if "speed" not in name}
            print_aside(f"epoch {event.epoch} {place}: {shown}")

    resources = None if gpus is None else {"gpu": gpus}
    space = load(file, overrides or (), code=code or ())
    trial = first_trial(space)
    settings = settings_of(out)
    below = (settings.shared if workers > 1 else None) or settings.folder
    place = folder or default_folder(below, trial, space.code)
    # What the data say about a field of the file is told with its file and line, as what the file itself says is.
    metrics = space.located(
        lambda: run_train(trial, code=space.code, folder=place, workers=workers, resources=resources, on_event=tell)
    )
    if not quiet:
        print_aside(f"checkpoints: {place}")
    print_values(metrics, as_json)
