"""ISIC skin lesions: benign or malignant, with the coloured patches that only benign ones wear."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder import split_rows
from raycon.datasets.places import find_folder
from raycon.datasets.published import ISIC
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

PARTS = {"train": "train", "val": "validation", "test": "test"}
COLUMNS = {
    "image": ("_id", "Image Index"),
    "class": ("is_malignant", "Diagnosis"),
    "split": ("split", "fold"),
    "patch": ("patch",),
    "histopathology": ("meta.clinical.diagnosis_confirm_type", "diagnosis_confirm_type"),
}
"""What is read -> the column's name as the download script writes it, and as the loader beside it wants it."""
VERDICTS = ("meta.clinical.benign_malignant", "benign_malignant")
BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
ADVICE = (
    "Make labels.csv and images/ with stratification/classification/datasets/isic_download.py of "
    "https://github.com/HazyResearch/hidden-stratification (its --root is RAYCON_DATA/isic)."
)


def isic(size: int) -> ImageTable:
    """The dermoscopic images of the ISIC archive as GEORGE prepares them (Sohoni et al. 2020, arXiv 2011.12945, public
    code), uint8 [n, 3, size, size], in the order of `labels.csv`.

    Attributes: `class` (0 benign, 1 malignant), `patch` (1 where a coloured patch is in the picture: all of the SONIC
    study, all benign) and `histopathology` (1 where the diagnosis was confirmed by it). Splits are those of the table.
    Rows that are neither benign nor malignant are left out, as there. `subgroup_ranking` over the groups (class, patch)
    is the published score: malignant against benign with, and without, a patch.

    Layout: `labels.csv` and `images/`, with the columns of COLUMNS; an image is `images/<_id>.jpg`, or what the column
    says where it has a suffix. Looked for in the data folders and their `isic/processed` and `isic`. Raises MissingData
    or InvalidFile.
    """
    folder = find_folder("ISIC", ("isic/processed", "isic"), ("labels.csv", "images"), ADVICE, root_too=False)
    rows = _rows(folder / "labels.csv")
    columns = {name: torch.tensor([int(row[name]) for row in rows], dtype=torch.int64) for name in ISIC.attributes}
    return ImageTable(
        images=decoded_images("isic", [folder / "images" / row["image"] for row in rows], size),
        attributes=columns,
        sizes=dict(ISIC.attributes),
        splits=split_rows(tuple(PARTS[row["split"]] for row in rows)),
        mean=ISIC.mean,
        std=ISIC.std,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """What COLUMNS names, of every row that is benign or malignant; numbers are `0` or `1`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            own = {name: next((one for one in names if one in header), "") for name, names in COLUMNS.items()}
            if missing := [name for name, column in own.items() if not column]:
                wanted = " or ".join(repr(column) for column in COLUMNS[missing[0]])
                raise InvalidFile(f"has no column {wanted}", file=str(path), line=1)
            verdict = next((column for column in VERDICTS if column in header), None)
            rows = [
                _row(row, own, path, line)
                for line, row in enumerate(reader, start=2)
                if verdict is None or row[verdict] in ("benign", "malignant")
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"cannot be read as CSV ({error})", file=str(path)) from error
    if not rows:
        raise InvalidFile("has no row that is benign or malignant", file=str(path))
    return rows


def _row(row: dict[str, str], own: dict[str, str], path: Path, line: int) -> dict[str, str]:
    found = {name: (row[column] or "").strip() for name, column in own.items()}
    for name in ("class", "patch"):
        if found[name] not in BITS:
            raise InvalidFile(f"{own[name]!r} is {found[name]!r}, not 0 or 1", file=str(path), line=line)
        found[name] = str(BITS[found[name]])
    if found["split"] not in PARTS:
        reason = f"{own['split']!r} is {found['split']!r}, not train, val or test"
        raise InvalidFile(reason, file=str(path), line=line)
    if not found["image"]:
        raise InvalidFile(f"{own['image']!r} is empty", file=str(path), line=line)
    found["image"] += "" if Path(found["image"]).suffix else ".jpg"
    found["histopathology"] = str(int(found["histopathology"] == "histopathology"))
    return found
