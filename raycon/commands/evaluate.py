"""The command `eval`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from raycon.one_pass import Evaluation

COLUMNS = ("metric", "label", "value", "low", "high", "n", "over", "chance", "better")
CAPTION = (
    "low, high: 95 % intervals over the images judged (few_shot: over its draws), of this one encoder; another run of "
    "training has its own spread: methods are compared over repeated runs alone. chance: a guess that sees no image, "
    "of the most frequent label, or of any for means over labels or groups. A dash: not given."
)


def evaluate(
    encoder: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="A run's folder, a checkpoint in it, torchvision:NAME or timm:NAME."),
    ],
    protocols: Annotated[str, typer.Option(help="`all` that the data allow, or names with commas.")] = "all",
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="A search space or a data set to judge on.  \\[default: the run's]"),
    ] = None,
    split: Annotated[
        str, typer.Option(help="validation, or test, which is opened by this and counted.")
    ] = "validation",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="data.PATH or scores.PROTOCOL.KNOB.")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(metavar="FILE|none|default", help="Of an encoder by name: safetensors, drawn, or downloaded."),
    ] = "none",
    size: Annotated[int | None, typer.Option(min=1, help="Of an encoder by name: the size of its images.")] = None,
    normalise: Annotated[
        str | None, typer.Option(metavar="data|weights", help="Of an encoder by name: whose mean and deviation.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Also write scores.json and scores.csv there.")
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="With --out: features.safetensors, too.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep and use embeddings on disk.")] = True,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.  \\[default: cuda where there is one]")] = None,
    code: Annotated[
        list[Path] | None, typer.Option("--code", metavar="FILE.py", help="The own code that the run was trained with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Score a frozen encoder by all protocols: a checkpoint of raycon, or an encoder of torchvision or timm by name."""
    from raycon.errors import InvalidFile

    if normalise not in (None, "data", "weights"):
        raise InvalidFile(f"should be data or weights, not {normalise!r}", field="--normalise")
    if features and out is None:
        raise InvalidFile("needs --out, the folder to write to", field="--features")
    from raycon.eval_request import check_request

    check_request(encoder, protocols, data, split, overrides or ())
    from raycon.one_pass import evaluate as run
    from raycon.own_code import own_code

    found = run(
        encoder, protocols=protocols, data=data, split=split, overrides=overrides or (), weights=weights, size=size,
        normalisation=cast(Any, normalise), code=own_code(files=code or ()), device=device, cache=cache,
    )  # fmt: skip
    if out is not None:
        for path in found.write(out, features=features):
            print(f"written: {path}", file=sys.stderr)
    if as_json:
        print(json.dumps(found.plain(), allow_nan=False))
        return
    _tell(found)


def _tell(found: Evaluation) -> None:
    from raycon.reporting.tables import to_markdown

    print(to_markdown([_short(row) for row in found.rows()]).rstrip())
    print()
    print(f"{found.encoder}: {found.images} images of {found.data['dataset']} ({found.split}); probes saw", end=" ")
    print(f"{found.trained_on} training images; weights {found.fingerprint[:12]}; input {found.preprocessing}")
    print(f"{found.seconds:.1f} CPU-s, {found.encoded} tables encoded, {found.remembered} remembered")
    print(CAPTION)
    for name, reason in found.left_out.items():
        print(f"left out: {name}: {reason}")
    if found.opened is not None:
        print(f"the test set of this run's folder has been opened {found.opened} times; its log counts it")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS}
