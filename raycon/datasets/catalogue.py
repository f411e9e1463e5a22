"""What the known data sets are, said statically: `explain` and the checks of a file read no image and load no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raycon.config import Data
from raycon.errors import InvalidFile, nearest

REVEALABLE = ("bias_labels", "groups")
COLOUR_COUNT = 10


@dataclass(frozen=True)
class CoarseMap:
    """A fine-to-coarse map. `of[k]` is the coarse class of class k; `names` names the coarse classes."""

    of: tuple[int, ...]
    names: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class DatasetInfo:
    """What is true of a data set before it is read.

    channels, size: images are uint8 [channels, size, size]. classes: names in the order of their numbers. attributes:
    name -> number of values, as the loader gives them. mean, std: per channel over the official training images, in
    units of [0, 1] pixels. coarse: the maps that `data.coarse` may name.
    """

    name: str
    description: str
    source: str
    channels: int
    size: int
    classes: tuple[str, ...]
    attributes: Mapping[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    coarse: Mapping[str, CoarseMap]


@dataclass(frozen=True)
class Described:
    """What a configured data set offers: attribute name -> number of values, and the revealed vocabulary names."""

    channels: int
    size: int
    attributes: Mapping[str, int]
    revealed: tuple[str, ...]


DIGITS = DatasetInfo(
    name="digits",
    description="1,797 handwritten digits of 8x8 pixels; ships with scikit-learn, so it is always there",
    source="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part)",
    channels=1,
    size=8,
    classes=tuple(str(digit) for digit in range(10)),
    attributes={"class": 10},
    mean=(0.305,),
    std=(0.376,),
    coarse={
        "low_high": CoarseMap((0, 0, 0, 0, 0, 1, 1, 1, 1, 1), ("below five", "five and above"), "0 to 4 v. 5 to 9"),
        "round_straight": CoarseMap(
            (0, 1, 0, 0, 1, 0, 0, 1, 0, 0),
            ("round", "straight"),
            "digits with a bow v. those of straight strokes: 1, 4, 7",
        ),
    },
)

FASHION_MNIST = DatasetInfo(
    name="fashion_mnist",
    description="60,000 training and 10,000 test images of clothing, 28x28 grey pixels, ten classes",
    source="Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747",
    channels=1,
    size=28,
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    attributes={"class": 10},
    mean=(0.2860,),
    std=(0.3530,),
    coarse={
        "clothes_accessories": CoarseMap(
            (0, 0, 0, 0, 0, 1, 0, 1, 1, 1), ("clothes", "accessories"), "worn on the body v. shoes and bags"
        ),
        "clothes_shoes_bags": CoarseMap(
            (0, 0, 0, 0, 0, 1, 0, 1, 2, 1), ("clothes", "shoes", "bags"), "worn on the body, on the feet, carried"
        ),
    },
)

DATASETS: dict[str, DatasetInfo] = {info.name: info for info in (DIGITS, FASHION_MNIST)}


def describe(data: Data) -> Described:
    """What `data` will offer, known without reading it.

    Raises InvalidFile with the field (`data.dataset`, `data.coarse`, `data.labels`, `data.reveal`, `data.groups`) for a
    name that does not exist, an incomplete coarse map, a bias that cannot be made, or a repeated group.
    """
    info = dataset_info(data.dataset)
    attributes = dict(info.attributes)
    if data.coarse is not None:
        attributes["coarse"] = max(coarse_classes(info, data.coarse)) + 1
    _known(data.labels, attributes, "data.labels", "attribute", _hint_of_label(data))
    if data.bias is not None:
        _check_bias(data, info, attributes)
        attributes |= {"colour": attributes[data.labels], "aligned": 2}
    for name in data.reveal:
        _known(name, REVEALABLE, "data.reveal", "name to reveal")
    if "bias_labels" in data.reveal and data.bias is None:
        raise InvalidFile("bias_labels are the colours of data.bias, which is not set", field="data.reveal")
    if "groups" in data.reveal and not data.groups:
        raise InvalidFile("groups are the combinations of data.groups, which is empty", field="data.reveal")
    for name in data.groups:
        _known(name, attributes, "data.groups", "attribute", _hint_of_group(data, name))
    if len(set(data.groups)) < len(data.groups):
        raise InvalidFile(f"an attribute stands there twice: {', '.join(data.groups)}", field="data.groups")
    channels = info.channels if data.bias is None else 3
    revealed = tuple(name for name in REVEALABLE if name in data.reveal)
    return Described(channels=channels, size=info.size, attributes=attributes, revealed=revealed)


def dataset_info(name: str) -> DatasetInfo:
    """The entry of `name`, or InvalidFile with the nearest known name."""
    _known(name, DATASETS, "data.dataset", "data set")
    return DATASETS[name]


def coarse_classes(info: DatasetInfo, coarse: str | Mapping[int, int]) -> tuple[int, ...]:
    """The coarse class of every class: from a shipped map by name, or from a map written out in the file.

    A written map must give every class exactly one coarse class; coarse classes are 0, 1, ... without a gap, and there
    are at least two. Raises InvalidFile otherwise.
    """
    if isinstance(coarse, str):
        _known(coarse, info.coarse, "data.coarse", f"coarse map of {info.name}")
        return info.coarse[coarse].of
    count = len(info.classes)
    if missing := sorted(set(range(count)) - set(coarse)):
        raise InvalidFile(f"no coarse class for class {_listed(missing)}", field="data.coarse")
    if unknown := sorted(set(coarse) - set(range(count))):
        raise InvalidFile(f"{info.name} has classes 0 to {count - 1}, not {_listed(unknown)}", field="data.coarse")
    used = sorted(set(coarse.values()))
    if len(used) < 2:
        raise InvalidFile("a coarse map needs at least two coarse classes", field="data.coarse")
    if used != list(range(len(used))):
        reason = f"coarse classes must be 0 to {len(used) - 1} without a gap, not {_listed(used)}"
        raise InvalidFile(reason, field="data.coarse")
    return tuple(coarse[label] for label in range(count))


def _check_bias(data: Data, info: DatasetInfo, attributes: Mapping[str, int]) -> None:
    if info.channels != 1:
        raise InvalidFile(f"colours need grey images; {info.name} has {info.channels} channels", field="data.bias")
    if attributes[data.labels] > COLOUR_COUNT:
        reason = f"{data.labels!r} has {attributes[data.labels]} values, but there are only {COLOUR_COUNT} colours"
        raise InvalidFile(reason, field="data.bias")


def _known(name: str, known: Mapping[str, object] | tuple[str, ...], field: str, kind: str, hint: str = "") -> None:
    if name in known:
        return
    close = nearest(name, list(known))
    reason = f"no {kind} {name!r}{close}{hint}; known: {', '.join(known) or 'none'}"
    raise InvalidFile(reason, field=field)


def _hint_of_label(data: Data) -> str:
    if data.labels == "coarse":
        return " (set data.coarse to a map)"
    if data.labels in ("colour", "aligned"):
        return " (data.bias binds the colour to the labels, so it cannot be the label itself)"
    return ""


def _hint_of_group(data: Data, name: str) -> str:
    if name == "coarse":
        return " (set data.coarse to a map)"
    return " (set data.bias)" if name in ("colour", "aligned") and data.bias is None else ""


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
