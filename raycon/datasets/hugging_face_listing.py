"""What a set in the format of Hugging Face's `datasets` says besides its images, read without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from raycon.config import HuggingFace
from raycon.datasets.folder_listing import DEFAULT_SIZE, RESERVED, ordered
from raycon.datasets.info import IMAGENET_MEAN, IMAGENET_STD, DatasetInfo
from raycon.datasets.places import cache_folder, data_roots
from raycon.errors import InvalidFile, MissingData, nearest

FIELD = "data.hugging_face"
INSTALL = "needs the package `datasets`: pip install 'raycon[hugging-face]'"
SAVED = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class HuggingFaceListing:
    """The rows of all splits that are used, one split after the other.

    parts: split -> the library's data set, whose images are not read yet. codes: attribute (`class` first) -> the
    number of each row's value. names: attribute -> its values in the order of their numbers: those that the library
    names, or ascending, as numbers where all are whole numbers, else as text.
    """

    parts: Mapping[str, Any]
    codes: Mapping[str, tuple[int, ...]]
    names: Mapping[str, tuple[str, ...]]


def read_hugging_face(source: HuggingFace) -> HuggingFaceListing:
    """The listing of a set; kept until its folder changes.

    Raises MissingData without the library, without the folder, or where a download is not asked for or fails;
    InvalidFile, with the field, for a split or column that is not there, and for values that are no labels.
    """
    place = local_path(source)
    if place is None and not source.download:
        reason = f"there is no {_places(source)[0]}; to fetch {source.path!r} from the hub, set download: true"
        raise MissingData(reason, field=f"{FIELD}.path")
    if source.download and os.environ.get("RAYCON_OFFLINE") == "1":
        raise MissingData("RAYCON_OFFLINE=1 forbids the download", field=f"{FIELD}.download")
    return _read(source, place, 0 if place is None else place.stat().st_mtime_ns)


def hugging_face_info(source: HuggingFace) -> DatasetInfo:
    """The catalogue's entry of a set. Images are decoded in RGB, at 64 pixels unless `data.size` says otherwise."""
    listing = read_hugging_face(source)
    return DatasetInfo(
        name="hugging_face",
        description=f"{len(listing.codes['class']):,} images of {source.path}",
        source=f"datasets {source.path}" + ("" if source.name is None else f", {source.name}"),
        channels=3,
        size=DEFAULT_SIZE,
        classes=listing.names["class"],
        attributes={name: len(values) for name, values in listing.names.items()},
        values={name: values for name, values in listing.names.items() if name != "class"},
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def local_path(source: HuggingFace) -> Path | None:
    """The folder of a set on disk: `path` itself, or below the first data folder that has it. None for the hub."""
    if source.download:
        return None
    return next((place for place in _places(source) if place.is_dir()), None)


def _places(source: HuggingFace) -> list[Path]:
    own = Path(source.path).expanduser()
    return [own] if own.is_absolute() else [root / own for root in data_roots()]


@lru_cache(maxsize=2)
def _read(source: HuggingFace, place: Path | None, changed: int) -> HuggingFaceListing:
    """`changed` is only a part of the key."""
    if reserved := [name for name in source.attributes if name in RESERVED]:
        raise InvalidFile(f"{reserved[0]!r} is a name of raycon's own", field=f"{FIELD}.attributes")
    parts = _parts(source, _loaded(source, place))
    columns = {"class": source.label, **{name: name for name in source.attributes}}
    wanted = [("image", source.image), ("label", source.label), *(("attributes", name) for name in source.attributes)]
    for part in parts.values():
        known = list(part.features)
        if missing := next(((field, column) for field, column in wanted if column not in known), None):
            field, column = missing
            reason = f"no column {column!r}{nearest(column, known)}; it has: {', '.join(known)}"
            raise InvalidFile(reason, field=f"{FIELD}.{field}")
        if type(part.features[source.image]).__name__ != "Image":
            raise InvalidFile(f"the column {source.image!r} holds no images", field=f"{FIELD}.image")
    coded = {name: _coded(parts, column) for name, column in columns.items()}
    if len(coded["class"][1]) < 2:
        raise InvalidFile(f"{source.label!r} has one value; a label needs at least two", field=f"{FIELD}.label")
    return HuggingFaceListing(
        parts, {name: codes for name, (codes, _) in coded.items()}, {name: names for name, (_, names) in coded.items()}
    )


def _loaded(source: HuggingFace, place: Path | None) -> Mapping[str, Any]:
    """Name of split -> the library's data set. Loading runs no code of the set: the library has given that up."""
    try:
        import datasets
    except ImportError as error:
        raise MissingData(INSTALL, field="data.dataset") from error
    try:
        if place is not None and any((place / name).exists() for name in SAVED):
            loaded = datasets.load_from_disk(str(place))
        elif place is not None:
            # Beside the decoded images, so that one variable moves both.
            kept = cache_folder() / "hugging-face"
            loaded = datasets.load_dataset(str(place), source.name, cache_dir=str(kept))
        else:
            loaded = datasets.load_dataset(source.path, source.name)
    except Exception as error:  # whatever the library, its file formats or the network raise
        where = source.path if place is None else str(place)
        raise MissingData(f"{where} cannot be loaded ({type(error).__name__}: {error})", field=FIELD) from error
    return loaded if isinstance(loaded, dict) else {source.train: loaded}


def _parts(source: HuggingFace, loaded: Mapping[str, Any]) -> dict[str, Any]:
    parts = {}
    for split, name in (("train", source.train), ("validation", source.validation), ("test", source.test)):
        if name is None:
            continue
        if name not in loaded:
            reason = f"no split {name!r}{nearest(name, list(loaded))}; it has: {', '.join(loaded)}"
            if split == "test":
                reason += " (null holds a fifth of the training images out)"
            raise InvalidFile(reason, field=f"{FIELD}.{split}")
        parts[split] = loaded[name]
    return parts


def _coded(parts: Mapping[str, Any], column: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The numbers of a column's values, and the values."""
    values = [value for part in parts.values() for value in part[column]]
    feature = next(iter(parts.values())).features[column]
    if type(feature).__name__ == "ClassLabel":
        names = tuple(feature.names)
        if any(getattr(part.features[column], "names", None) != feature.names for part in parts.values()):
            raise InvalidFile(f"the splits name the values of {column!r} differently", field=FIELD)
        if not all(isinstance(value, int) and 0 <= value < len(names) for value in values):
            raise InvalidFile(f"{column!r} has rows without a label", field=FIELD)
        return tuple(values), names
    return _numbered(values, column)


def _numbered(values: Sequence[object], column: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    for value in values:
        if value is None or value == "":
            raise InvalidFile(f"{column!r} has an empty value", field=FIELD)
        if not isinstance(value, int | str):
            raise InvalidFile(f"{column!r} has the value {value!r}, which is no whole number or text", field=FIELD)
    texts = [str(int(value)) if isinstance(value, bool) else str(value) for value in values]
    names = ordered(texts)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(numbers[text] for text in texts), names
