"""The commands `raycon data`: which sets there are, and the card of one."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raycon.commands.options import Out

if TYPE_CHECKING:
    from raycon.config import Trial
    from raycon.datasets import ImageTable

data_app = typer.Typer(no_args_is_help=True, help="Data sets: which there are, and what is in one.")
SHEET_COLUMNS, SHEET_ROWS = 10, 12
NAME_WIDTH = 24


@data_app.command("ls")
def data_ls(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """The data sets that a file may name. Reads no data."""
    from raycon.datasets import DATASETS

    for info in DATASETS.values():
        row = {"name": info.name, "channels": info.channels, "size": info.size, "classes": len(info.classes)}
        maps = {name: max(one.of) + 1 for name, one in info.coarse.items()}
        if as_json:
            print(json.dumps({**row, "attributes": dict(info.attributes), "coarse": maps, "source": info.source}))
            continue
        coarse = "".join(f"; coarse: {name} ({count})" for name, count in maps.items())
        print(f"{info.name:<{NAME_WIDTH}} {info.channels}x{info.size}x{info.size}, {info.description}{coarse}")
    if not as_json:
        print(f"{'folder':<{NAME_WIDTH}} your own images, described by data.folder: a CSV, class folders or lists")
        print(f"{'hugging_face':<{NAME_WIDTH}} images for the library `datasets`, described by data.hugging_face")


@data_app.command("card")
def data_card(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A data set of `raycon data ls`, or a search-space file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Replace a value of the file.")
    ] = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="The card as one JSON object.")] = False,
) -> None:
    """Sizes, classes, groups and content hash of a data set, and a picture with a row for each class or group."""
    from raycon.datasets.card import data_card as make
    from raycon.datasets.loading import load_tables
    from raycon.reporting.figures import contact_sheet
    from raycon.settings import Settings

    trial = _trial(name, overrides)
    card = make(trial.data, split_seed=trial.seeds.split)
    title = card.name if card.name == name else Path(name).stem
    picture = Settings(out=out).folder / "data" / f"{title}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    table = load_tables(trial.data, split_seed=trial.seeds.split)["train"]
    picture.write_bytes(contact_sheet(title, *_rows(table, trial)))
    if as_json:
        print(json.dumps({**dataclasses.asdict(card), "picture": str(picture)}))
        return
    print(*card.lines(), sep="\n")
    print(f"picture: {picture}", file=sys.stderr)


def _trial(name: str, overrides: list[str] | None) -> Trial:
    """Of a file its first configuration; of a data set the defaults."""
    from raycon.config import Data, Trial
    from raycon.errors import InvalidFile

    if Path(name).suffix in (".yaml", ".yml"):
        from raycon.space import first_trial, load

        return first_trial(load(name, overrides or ()))
    if overrides:
        raise InvalidFile("replaces values of a file; a data set's name has none", field="--set")
    return Trial(data=Data(dataset=name), objective={})


def _rows(table: ImageTable, trial: Trial) -> tuple[list[str], list[Any]]:
    """Labels of the rows, and the images of each: uint8 [n, C, H, W], the first of every group that has some."""
    import torch

    from raycon.datasets import info_of
    from raycon.datasets.card import group_names, value_names

    data, bias = trial.data, info_of(trial.data).bias
    groups = data.groups or ((data.labels, bias) if bias else (data.labels,))
    numbers, count = table.product(groups)
    labels = group_names(table.sizes, groups, value_names(data))
    filled = torch.bincount(numbers, minlength=count).nonzero().flatten().tolist()
    shown = min(len(filled), SHEET_ROWS)
    chosen = [filled[row * len(filled) // shown] for row in range(shown)]
    rows = [(numbers == number).nonzero().flatten()[:SHEET_COLUMNS] for number in chosen]
    return [labels[number] for number in chosen], [table.images[own].numpy() for own in rows]
