"""The options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raycon.errors import InvalidFile

if TYPE_CHECKING:
    from raycon.settings import Settings

File = Annotated[str, typer.Argument(metavar="FILE", help="A search space, such as search_spaces/thanos.yaml.")]
Name = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, folder or file.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Replace a value or a hole of the file.")
]
Out = Annotated[Path | None, typer.Option("--out", help="The output folder.  \\[default: $RAYCON_OUT or ./raycon_out]")]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Slots = Annotated[
    int | None,
    typer.Option(min=1, help="Runs at a time; a search uses sweep.lag + 1 at most.  \\[default: as many as fit]"),
]
Storage = Annotated[str | None, typer.Option(help="Folder or URI for weights and the log's copy; all nodes reach it.")]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow URI, or 'off'.  \\[default: $MLFLOW_TRACKING_URI or a file in --out]")
]
Require = Annotated[bool, typer.Option("--require-tracking", help="Fail at once if MLflow is not reached.")]
Code = Annotated[
    list[Path] | None,
    typer.Option("--code", metavar="FILE.py", help="Your own terms, transforms, networks or loop: Python that is run."),
]
Reuse = Annotated[
    bool, typer.Option("--reuse/--no-reuse", help="Take over runs of other repetitions and studies that are the same.")
]
Renamed = Annotated[str | None, typer.Option("--name", help="A name in place of the file's: --set name=NAME.")]
Gpus = Annotated[
    float | None,
    typer.Option(min=0, help="GPUs of each worker; 0.25 puts four runs on one.  \\[default: 1 where there are any]"),
]
Wait = Annotated[float, typer.Option(min=0, metavar="MINUTES", help="How long to wait for room or storage.")]
Seeds = Annotated[str | None, typer.Option(help="Fresh seeds, such as 1,2,3 or 10-14.  \\[default: the file's]")]


def settings_of(
    out: Path | None,
    slots: int | None = None,
    gpus: float | None = None,
    storage: str | None = None,
    tracking: str | None = None,
    require: bool = False,
    wait: float = 30,
) -> Settings:
    """Where and on what the runs go."""
    from raycon.settings import Settings

    resources = None if gpus is None else {"cpu": 1.0, "gpu": gpus}
    return Settings(out, storage, slots, resources, tracking, require, wait_minutes=wait)


def with_name(overrides: Sequence[str] | None, name: str | None) -> Sequence[str]:
    """The overrides, that of `--name` included."""
    return [*(overrides or ()), f"name={name}"] if name else overrides or ()


def seed_numbers(text: str) -> list[int]:
    """'1,2,5-7' -> [1, 2, 5, 6, 7]."""
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            found += range(int(first), int(last or first) + 1)
        return found
    except ValueError:
        raise InvalidFile(f"should be numbers such as 1,2,3 or 10-14, not {text!r}", field="--seeds") from None
