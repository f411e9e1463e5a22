"""CelebA with its official parts: blond hair as the class, male as the attribute that goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder import split_rows
from raycon.datasets.places import find_folder
from raycon.datasets.published import CELEBA
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

COLUMNS = {"class": "Blond_Hair", "male": "Male"}
PARTS = {"0": "train", "1": "validation", "2": "test"}
ADVICE = (
    "Get img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, and unpack the images there."
)


def celeba(size: int) -> ImageTable:
    """The aligned faces, uint8 [202599, 3, size, size], the middle 178 x 178 pixels of each.

    Attributes: `class` (Blond_Hair) and `male`, 0 or 1 for the published -1 or 1. Splits: train, validation, test.
    Looked for in the data folders and their `celeba` and `CelebA`: `list_attr_celeba.txt` (a count, the names of the
    columns, then a line for each image), `list_eval_partition.txt` (file and part, 0 to 2) and `img_align_celeba`.
    Raises MissingData or InvalidFile.
    """
    needed = ("list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba")
    folder = find_folder("CelebA", ("celeba", "CelebA"), needed, ADVICE)
    parts = {}
    for line, fields in _lines(folder / "list_eval_partition.txt", skip=0):
        if len(fields) != 2 or fields[1] not in PARTS:
            raise InvalidFile(
                "is not a file and a part (0, 1, 2)", file=str(folder / "list_eval_partition.txt"), line=line
            )
        parts[fields[0]] = PARTS[fields[1]]
    names, values = _attributes(folder / "list_attr_celeba.txt")
    if missing := next((name for name in names if name not in parts), None):
        raise InvalidFile(f"has no part for {missing}", file=str(folder / "list_eval_partition.txt"))
    return ImageTable(
        images=decoded_images("celeba", [folder / "img_align_celeba" / name for name in names], size),
        attributes={name: torch.tensor(column, dtype=torch.int64) for name, column in values.items()},
        sizes=dict(CELEBA.attributes),
        splits=split_rows(tuple(parts[name] for name in names)),
        mean=CELEBA.mean,
        std=CELEBA.std,
    )


def _attributes(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """The files in their order, and the columns that are read."""
    lines = _lines(path, skip=1)
    _, header = next(lines, (2, []))
    if missing := [column for column in COLUMNS.values() if column not in header]:
        raise InvalidFile(f"has no column {missing[0]!r} in its second line", file=str(path), line=2)
    names: list[str] = []
    values: dict[str, list[int]] = {name: [] for name in COLUMNS}
    for line, fields in lines:
        if len(fields) != len(header) + 1:
            raise InvalidFile(f"has {len(fields) - 1} values for {len(header)} columns", file=str(path), line=line)
        names.append(fields[0])
        for name, column in COLUMNS.items():
            text = fields[1 + header.index(column)]
            if text not in ("-1", "1"):
                raise InvalidFile(f"{column} is {text}, not -1 or 1", file=str(path), line=line)
            values[name].append(int(text == "1"))
    return names, values


def _lines(path: Path, *, skip: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, its words) after the first `skip` lines; empty lines are passed over."""
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            if line > skip and text.strip():
                yield line, text.split()
