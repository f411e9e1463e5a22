"""What the CSV of an own image folder says: read without torch, so that a file is checked before anything starts."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from raycon.config import Folder
from raycon.datasets.info import IMAGENET_MEAN, IMAGENET_STD, CoarseMap, DatasetInfo
from raycon.datasets.places import data_roots, image_files
from raycon.errors import InvalidFile, MissingData, nearest

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    "test": "test",
}
RESERVED = ("class", "coarse", "colour", "aligned", "noisy")
DEFAULT_SIZE = 64


@dataclass(frozen=True)
class FolderListing:
    """The lines of a CSV in their order.

    paths: the image files. splits: `train`, `validation` or `test` of each, or None where the CSV does not say.
    codes: attribute (`class` first) -> the number of each line's value. names: attribute -> its values in the order of
    their numbers: ascending, as numbers where all are whole numbers, else as text.
    """

    paths: tuple[Path, ...]
    splits: tuple[str, ...] | None
    codes: Mapping[str, tuple[int, ...]]
    names: Mapping[str, tuple[str, ...]]


def read_listing(folder: Folder) -> FolderListing:
    """The listing of a folder; kept until the CSV (or, of class folders, the list of classes) changes.

    Raises MissingData where there is no CSV or folder, InvalidFile for a missing column, an empty or doubled entry, an
    unknown split, or a folder without training or test images, with file and line.
    """
    place = listing_path(folder)
    try:
        status = place.stat()
    except OSError:
        if folder.table is None:
            reason = f"there is no {place}: data.folder without a table needs train/<class>/* and val/<class>/*"
        else:
            reason = f"there is no {place}: data.folder needs a CSV with the columns {_columns(folder)}"
        raise MissingData(reason, field="data.folder") from None
    read = _read_classes if folder.table is None else _read
    return read(folder, place, status.st_mtime_ns, status.st_size)


def listing_path(folder: Folder) -> Path:
    """Where the CSV is, or the `train` of class folders: below `path` itself, or below the first data folder that has
    it."""
    own, last = Path(folder.path).expanduser(), folder.table or "train"
    places = [own / last] if own.is_absolute() else [root / own / last for root in data_roots()]
    return next((place for place in places if place.exists()), places[0])


def folder_info(folder: Folder) -> DatasetInfo:
    """The catalogue's entry of a folder. Columns that say the same of all images of a class are its coarse maps."""
    listing = read_listing(folder)
    return DatasetInfo(
        name="folder",
        description=f"{len(listing.paths):,} images of {folder.path}",
        source=str(listing_path(folder)),
        channels=3,
        size=DEFAULT_SIZE,
        classes=listing.names["class"],
        attributes={name: len(values) for name, values in listing.names.items()},
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        coarse={name: found for name in folder.attributes if (found := _coarse_map(listing, name)) is not None},
    )


def _coarse_map(listing: FolderListing, name: str) -> CoarseMap | None:
    """The map from classes to the values of a column, where every class has one value of at least two."""
    pairs = set(zip(listing.codes["class"], listing.codes[name], strict=True))
    if len(pairs) > len(listing.names["class"]) or len(listing.names[name]) < 2:
        return None
    return CoarseMap(tuple(dict(pairs)[label] for label in range(len(pairs))), listing.names[name], f"column {name}")


@lru_cache(maxsize=4)
def _read(folder: Folder, table: Path, changed: int, length: int) -> FolderListing:
    """`changed` and `length` are parts of the key."""
    columns = {"class": folder.label, **{name: name for name in folder.attributes}}
    paths: list[Path] = []
    splits: list[str] = []
    texts: dict[str, list[str]] = {name: [] for name in columns}
    seen: dict[str, int] = {}
    for line, row in _lines(table, folder):
        image = row[folder.image]
        if image in seen:
            raise InvalidFile(f"{image!r} stands in line {seen[image]} too", file=str(table), line=line)
        seen[image] = line
        paths.append(Path(os.path.normpath(table.parent / image)))
        for name, column in columns.items():
            texts[name].append(row[column])
        if folder.split is not None:
            splits.append(_split(row[folder.split], table, line))
    if folder.split is not None:
        for needed in ("train", "test"):
            if needed not in splits:
                raise InvalidFile(f"has no line with the split {needed!r}", file=str(table), field="data.folder.split")
    names = {name: _ordered(values) for name, values in texts.items()}
    _check_counts(names, folder, table)
    numbers = {name: {value: number for number, value in enumerate(values)} for name, values in names.items()}
    codes = {name: tuple(numbers[name][value] for value in values) for name, values in texts.items()}
    return FolderListing(tuple(paths), tuple(splits) if folder.split is not None else None, codes, names)


@lru_cache(maxsize=4)
def _read_classes(folder: Folder, train: Path, changed: int, length: int) -> FolderListing:
    """Class folders; classes are numbered in the order of their names, as torchvision's ImageFolder does."""
    if folder.attributes:
        raise InvalidFile("class folders have no further columns", field="data.folder.attributes")
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise InvalidFile(f"{train} has {len(classes)} class folders; a label needs at least two", field="data.folder")
    root = train.parent
    parts = {"train": "train", "val": "validation" if (root / "test").is_dir() else "test", "test": "test"}
    paths: list[Path] = []
    splits: list[str] = []
    codes: list[int] = []
    for name, split in parts.items():
        for inner in sorted(path for path in (root / name).glob("*") if path.is_dir()):
            if inner.name not in classes:
                raise InvalidFile(f"is no class of {train}", file=str(inner))
            found = list(image_files(inner))
            paths += found
            splits += [split] * len(found)
            codes += [classes.index(inner.name)] * len(found)
    if "test" not in splits:
        raise MissingData(f"there are no images in {root}/val/<class> or {root}/test/<class>", field="data.folder")
    return FolderListing(tuple(paths), tuple(splits), {"class": tuple(codes)}, {"class": classes})


def _lines(table: Path, folder: Folder) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> text) of every line, once the columns are there; no text of a wanted column is empty."""
    wanted = {"image": folder.image, "label": folder.label}
    wanted |= {} if folder.split is None else {"split": folder.split}
    if reserved := [name for name in folder.attributes if name in RESERVED]:
        raise InvalidFile(
            f"{reserved[0]!r} is a name of raycon's own; rename the column", field="data.folder.attributes"
        )
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            known = list(reader.fieldnames or ())
            for field, column in [*wanted.items(), *(("attributes", name) for name in folder.attributes)]:
                if column not in known:
                    reason = f"{table} has no column {column!r}{nearest(column, known)}; it has: {', '.join(known)}"
                    raise InvalidFile(reason, field=f"data.folder.{field}")
            for row in reader:
                for column in (*wanted.values(), *folder.attributes):
                    row[column] = row[column].strip()
                    if not row[column]:
                        raise InvalidFile(f"{column!r} is empty", file=str(table), line=reader.line_num)
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"cannot be read as CSV in UTF-8 ({error})", file=str(table)) from error


def _split(text: str, table: Path, line: int) -> str:
    if text.lower() not in SPLIT_NAMES:
        known = ", ".join(SPLIT_NAMES)
        raise InvalidFile(
            f"no split {text!r}{nearest(text, list(SPLIT_NAMES))}; known: {known}", file=str(table), line=line
        )
    return SPLIT_NAMES[text.lower()]


def _ordered(values: Sequence[str]) -> tuple[str, ...]:
    distinct = set(values)
    whole = all(value.removeprefix("-").isdecimal() for value in distinct)
    return tuple(sorted(distinct, key=(lambda value: (int(value), value)) if whole else lambda value: (0, value)))


def _check_counts(names: Mapping[str, Sequence[str]], folder: Folder, table: Path) -> None:
    if len(names["class"]) < 2:
        reason = f"{folder.label!r} has {len(names['class'])} value in {table}; a label needs at least two"
        raise InvalidFile(reason, field="data.folder.label")


def _columns(folder: Folder) -> str:
    return ", ".join([folder.image, folder.label, *([folder.split] if folder.split else []), *folder.attributes])
