"""Waterbirds with its official parts: the bird is the class, land or water behind it the cue that goes with it."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder import split_rows
from raycon.datasets.places import find_folder
from raycon.datasets.published import WATERBIRDS
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

FOLDER = "waterbird_complete95_forest2water2"
COLUMNS = {"class": "y", "background": "place"}
PARTS = {"0": "train", "1": "validation", "2": "test"}
ADVICE = (
    f"Unpack {FOLDER}.tar.gz (https://nlp.stanford.edu/data/dro/{FOLDER}.tar.gz) or version 1.0 of the WILDS package "
    "(waterbirds_v1.0) there."
)


def waterbirds(size: int) -> ImageTable:
    """The 11,788 images, uint8 [n, 3, size, size], in the order of `metadata.csv`.

    Attributes: `class` (column y: 0 landbird, 1 waterbird), `background` (column place: 0 land, 1 water) and `aligned`,
    1 where the two agree. Splits (column split): 0 train, 1 validation, 2 test; in the last two, backgrounds are
    balanced within each class. Looked for in the data folders and their `waterbird_complete95_forest2water2`,
    `waterbirds_v1.0`, `waterbirds`. Raises MissingData or InvalidFile.
    """
    places = (FOLDER, "waterbirds_v1.0", "waterbirds")
    folder = find_folder("Waterbirds", places, ("metadata.csv",), ADVICE, root_too=False)
    rows = _rows(folder / "metadata.csv")
    attributes = {
        name: torch.tensor([int(row[column]) for row in rows], dtype=torch.int64) for name, column in COLUMNS.items()
    }
    attributes["aligned"] = (attributes["class"] == attributes["background"]).to(torch.int64)
    return ImageTable(
        images=decoded_images("waterbirds", [folder / row["img_filename"] for row in rows], size),
        attributes=attributes,
        sizes=dict(WATERBIRDS.attributes),
        splits=split_rows(tuple(PARTS[row["split"]] for row in rows)),
        mean=WATERBIRDS.mean,
        std=WATERBIRDS.std,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    allowed = {"img_filename": None, "y": ("0", "1"), "split": tuple(PARTS), "place": ("0", "1")}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [column for column in allowed if column not in (reader.fieldnames or ())]:
                raise InvalidFile(f"has no column {missing[0]!r}", file=str(path), line=1)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"cannot be read as CSV ({error})", file=str(path)) from error
    for line, row in enumerate(rows, start=2):
        for column, values in allowed.items():
            if not row[column] or (values is not None and row[column] not in values):
                known = "" if values is None else f", not {' or '.join(values)}"
                raise InvalidFile(f"{column!r} is {row[column]!r}{known}", file=str(path), line=line)
    return rows
