"""What the CSV of an own image folder says: read without torch, so that a file is checked before anything starts."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from raycon.config import Folder
from raycon.datasets.image_lists import class_words, folder_names, read_image_list
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
Changed = tuple[tuple[int, int], ...]


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
    _check_kinds(folder)
    if not place.exists():
        if folder.lists is not None:
            reason = f"there is no {place}: data.folder.lists needs it and {folder.lists}_test.txt"
        elif folder.table is None:
            reason = f"there is no {place}: data.folder without a table needs train/<class>/* and val/<class>/*"
        else:
            reason = f"there is no {place}: data.folder needs a CSV with the columns {_columns(folder)}"
        raise MissingData(reason, field="data.folder")
    read = _read_lists if folder.lists is not None else _read_classes if folder.table is None else _read
    return read(folder, place, listing_changed(folder))


def listing_path(folder: Folder) -> Path:
    """Where the CSV is, the list of training images, or the `train` of class folders: below `path` itself, or below the
    first data folder that has it."""
    own, last = Path(folder.path).expanduser(), folder.table or "train"
    if folder.lists is not None:
        last = f"{folder.lists}_train.txt"
    places = [own / last] if own.is_absolute() else [root / own / last for root in data_roots()]
    return next((place for place in places if place.exists()), places[0])


def listing_changed(folder: Folder) -> Changed:
    """When the files that say what a folder holds changed, and how long they are: a key for what is kept of them."""
    place = listing_path(folder)
    files = [place]
    if folder.lists is not None:
        files += [_beside(place, part) for part in ("val", "test")]
    elif folder.classes is not None:
        files.append(place.parent / folder.classes)
    return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())


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
def _read(folder: Folder, table: Path, changed: Changed) -> FolderListing:
    """`changed` is only a part of the key."""
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
    names = {name: ordered(values) for name, values in texts.items()}
    _check_counts(names, folder, table)
    numbers = {name: {value: number for number, value in enumerate(values)} for name, values in names.items()}
    codes = {name: tuple(numbers[name][value] for value in values) for name, values in texts.items()}
    return FolderListing(tuple(paths), tuple(splits) if folder.split is not None else None, codes, names)


@lru_cache(maxsize=4)
def _read_classes(folder: Folder, train: Path, changed: Changed) -> FolderListing:
    """Class folders; classes are numbered in the order of their names, as torchvision's ImageFolder does."""
    if folder.attributes:
        raise InvalidFile("class folders have no further columns", field="data.folder.attributes")
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir()))
    if folder.classes is not None:
        chosen = class_words(train.parent / folder.classes)
        if missing := [name for name in chosen if name not in classes]:
            raise MissingData(f"there is no {train / missing[0]}, which {folder.classes} names", field="data.folder")
        classes = tuple(sorted(chosen))
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
                if folder.classes is not None:
                    continue
                raise InvalidFile(f"is no class of {train}", file=str(inner))
            found = list(image_files(inner))
            paths += found
            splits += [split] * len(found)
            codes += [classes.index(inner.name)] * len(found)
    if "test" not in splits:
        raise MissingData(f"there are no images in {root}/val/<class> or {root}/test/<class>", field="data.folder")
    return FolderListing(tuple(paths), tuple(splits), {"class": tuple(codes)}, {"class": classes})


@lru_cache(maxsize=4)
def _read_lists(folder: Folder, train: Path, changed: Changed) -> FolderListing:
    """Lists of images, each with the number of its class."""
    if folder.attributes:
        raise InvalidFile("lists have no further columns", field="data.folder.attributes")
    # The name of the lists may have folders; images are below `path` itself.
    root, splits = train.parents[len(Path(folder.lists or "").parts) - 1], []
    lines: list[tuple[str, int]] = []
    for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        place = _beside(train, name)
        if name == "val" and not place.exists():
            continue
        own = read_image_list(place)
        lines += own
        splits += [split] * len(own)
    codes = tuple(label for _, label in lines)
    count = max(codes) + 1
    if count < 2 or len(set(codes)) < count:
        absent = sorted(set(range(max(count, 2))) - set(codes))[0]
        raise InvalidFile(f"class {absent} has no image in any list", file=str(train))
    paths = tuple(root / image for image, _ in lines)
    return FolderListing(paths, tuple(splits), {"class": codes}, {"class": folder_names(lines, count)})


def _beside(train: Path, part: str) -> Path:
    return Path(str(train).removesuffix("_train.txt") + f"_{part}.txt")


def _check_kinds(folder: Folder) -> None:
    if folder.lists is not None and folder.table not in (None, Folder.table):
        raise InvalidFile("stands beside data.folder.table: give one of them", field="data.folder.lists")
    if folder.classes is not None and (folder.table is not None or folder.lists is not None):
        raise InvalidFile("chooses among class folders: set data.folder.table to null", field="data.folder.classes")


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


def ordered(values: Iterable[str]) -> tuple[str, ...]:
    """The values that occur, ascending: as numbers where all are whole numbers, else as text."""
    distinct = set(values)
    whole = all(value.removeprefix("-").isdecimal() for value in distinct)
    return tuple(sorted(distinct, key=(lambda value: (int(value), value)) if whole else lambda value: (0, value)))


def _check_counts(names: Mapping[str, Sequence[str]], folder: Folder, table: Path) -> None:
    if len(names["class"]) < 2:
        reason = f"{folder.label!r} has {len(names['class'])} value in {table}; a label needs at least two"
        raise InvalidFile(reason, field="data.folder.label")


def _columns(folder: Folder) -> str:
    return ", ".join([folder.image, folder.label, *([folder.split] if folder.split else []), *folder.attributes])
