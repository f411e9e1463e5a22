"""What the known data sets are, said statically: `explain` and the checks of a file read no image and load no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raycon.config import Bias, Data
from raycon.datasets.coarse_maps import subclasses
from raycon.datasets.corruption_names import CUES, UNTOUCHED
from raycon.datasets.folder_listing import folder_info
from raycon.datasets.hugging_face_listing import hugging_face_info
from raycon.datasets.info import CoarseMap, DatasetInfo
from raycon.datasets.published import PUBLISHED
from raycon.errors import InvalidFile, nearest

REVEALABLE = ("bias_labels", "groups")
COLOUR_COUNT = 10
CUE_NAMES = ("colour", "corruption", "aligned")
FOLDER, HUGGING_FACE = "folder", "hugging_face"
"""The names of the sets that `data.folder` and `data.hugging_face` describe."""


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

DATASETS: dict[str, DatasetInfo] = {info.name: info for info in (DIGITS, FASHION_MNIST, *PUBLISHED)}


def describe(data: Data) -> Described:
    """What `data` will offer, known without reading it.

    Raises InvalidFile with the field (`data.dataset`, `data.coarse`, `data.labels`, `data.reveal`, `data.groups`) for a
    name that does not exist, an incomplete coarse map, a bias that cannot be made, or a repeated group. Of an own
    folder (`data.folder`) the CSV is read, of `data.hugging_face` the columns other than images.
    """
    info = info_of(data)
    attributes = dict(info.attributes)
    if data.coarse is not None:
        attributes["coarse"] = max(coarse_classes(info, data.coarse)) + 1
    _known(data.labels, attributes, "data.labels", "attribute", _hint_of_label(data))
    if data.bias is not None:
        _check_bias(data, data.bias, info, attributes)
        attributes |= {cue_name(data.bias): attributes[data.labels], "aligned": 2}
    if data.label_noise > 0:
        attributes["noisy"] = 2
    for name in data.reveal:
        _known(name, REVEALABLE, "data.reveal", "name to reveal")
    _check_bias_labels(data, attributes)
    if "groups" in data.reveal and not data.groups:
        raise InvalidFile("groups are the combinations of data.groups, which is empty", field="data.reveal")
    for name in data.groups:
        _known(name, attributes, "data.groups", "attribute", _hint_of_group(data, name))
    if len(set(data.groups)) < len(data.groups):
        raise InvalidFile(f"an attribute stands there twice: {', '.join(data.groups)}", field="data.groups")
    if data.balance_groups and not data.groups:
        raise InvalidFile("groups are the combinations of data.groups, which is empty", field="data.balance_groups")
    if data.subclass_shares is not None:
        _check_shares(data, info, data.subclass_shares)
    channels = 3 if data.bias is not None and cue_name(data.bias) == "colour" else info.channels
    revealed = tuple(name for name in REVEALABLE if name in data.reveal)
    return Described(channels=channels, size=info.size, attributes=attributes, revealed=revealed)


def info_of(data: Data) -> DatasetInfo:
    """The entry of the configured data set, at the size that `data.size` asks for.

    Raises InvalidFile for an unknown name, or a folder that is missing or not asked for (see `read_listing`).
    """
    for name, section in ((FOLDER, data.folder), (HUGGING_FACE, data.hugging_face)):
        if data.dataset == name and section is None:
            raise InvalidFile(f"is needed for data.dataset: {name}; write at least its path", field=f"data.{name}")
        if data.dataset != name and section is not None:
            raise InvalidFile(f"is read with data.dataset: {name}, not {data.dataset}", field=f"data.{name}")
    if data.folder is not None:
        info = folder_info(data.folder)
    elif data.hugging_face is not None:
        info = hugging_face_info(data.hugging_face)
    else:
        info = dataset_info(data.dataset)
    return info if data.size is None else replace(info, size=data.size)


def bias_attribute(data: Data) -> str | None:
    """The attribute that `reveal: [bias_labels]` shows, or None where there is none to show."""
    if data.bias_labels is not None:
        return data.bias_labels
    if data.bias is not None:
        return cue_name(data.bias)
    return DATASETS[data.dataset].bias if data.dataset in DATASETS else None


def cue_name(bias: Bias) -> str:
    """The attribute that a bias binds to the label."""
    return "corruption" if bias.place == "corruption" else "colour"


def dataset_info(name: str) -> DatasetInfo:
    """The entry of `name`, or InvalidFile with the nearest known name."""
    _known(name, (*DATASETS, FOLDER, HUGGING_FACE), "data.dataset", "data set")
    return DATASETS[name]


def coarse_classes(info: DatasetInfo, coarse: str | Mapping[int, int]) -> tuple[int, ...]:
    """The coarse class of every class: from a shipped map by name, or from a map written out in the file.

    A written map must give every class exactly one coarse class; coarse classes are 0, 1, ... without a gap, and there
    are at least two. Raises InvalidFile otherwise.
    """
    if isinstance(coarse, str):
        if coarse in info.attributes and coarse not in info.coarse:
            reason = f"{coarse!r} is no coarse map: its values differ within a class, or there is one value alone"
            raise InvalidFile(reason, field="data.coarse")
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


def _check_bias(data: Data, bias: Bias, info: DatasetInfo, attributes: Mapping[str, int]) -> None:
    values = attributes[data.labels]
    if cue_name(bias) == "corruption":
        _check_families(bias, data.labels, values)
    elif info.channels != 1:
        reason = f"colours need grey images; {info.name} has {info.channels} channels (corruptions do not)"
        raise InvalidFile(reason, field="data.bias")
    elif values > COLOUR_COUNT:
        reason = f"{data.labels!r} has {values} values, but there are only {COLOUR_COUNT} colours"
        raise InvalidFile(reason, field="data.bias")
    elif bias.families:
        raise InvalidFile("belong to data.bias.place: corruption", field="data.bias.families")
    for name in (cue_name(bias), "aligned"):
        if name in info.attributes:
            raise InvalidFile(f"{info.name} has an attribute {name!r} of its own", field="data.bias")


def _check_families(bias: Bias, labels: str, values: int) -> None:
    for name in bias.families:
        _known(name, (*CUES, UNTOUCHED), "data.bias.families", "corruption")
    if len(set(bias.families)) < len(bias.families):
        raise InvalidFile("a corruption stands there twice", field="data.bias.families")
    count = len(bias.families or CUES)
    if count < values:
        raise InvalidFile(f"{labels!r} has {values} values, but there are only {count} corruptions", field="data.bias")
    for field in ("noise", "binary"):
        if getattr(bias, field):
            raise InvalidFile("belongs to colours, not to place: corruption", field=f"data.bias.{field}")


def _check_bias_labels(data: Data, attributes: Mapping[str, int]) -> None:
    shown = bias_attribute(data)
    if data.bias_labels is not None:
        _known(data.bias_labels, attributes, "data.bias_labels", "attribute", _hint_of_group(data, data.bias_labels))
    if "bias_labels" not in data.reveal:
        return
    if shown is None:
        reason = "bias_labels are the colours of data.bias, which is not set, or the attribute data.bias_labels"
        raise InvalidFile(reason, field="data.reveal")
    if shown == data.labels:
        raise InvalidFile(f"bias_labels would be the labels themselves, {shown!r}", field="data.bias_labels")


def _check_shares(data: Data, info: DatasetInfo, shares: tuple[float, ...]) -> None:
    if data.coarse is None:
        raise InvalidFile("classes of a coarse class need a coarse map: set data.coarse", field="data.subclass_shares")
    largest = max(map(len, subclasses(coarse_classes(info, data.coarse))))
    if len(shares) != largest:
        reason = f"{len(shares)} shares, but the largest coarse class has {largest} classes"
        raise InvalidFile(reason, field="data.subclass_shares")
    if 0 in shares:
        raise InvalidFile("should be greater than 0: a class without training images", field="data.subclass_shares")


def _known(name: str, known: Mapping[str, object] | tuple[str, ...], field: str, kind: str, hint: str = "") -> None:
    if name in known:
        return
    close = nearest(name, list(known))
    reason = f"no {kind} {name!r}{close}{hint}; known: {', '.join(known) or 'none'}"
    raise InvalidFile(reason, field=field)


def _hint_of_label(data: Data) -> str:
    if data.labels == "coarse":
        return " (set data.coarse to a map)"
    if data.labels in CUE_NAMES:
        cue = "corruption" if data.labels == "corruption" else "colour"
        return f" (data.bias binds the {cue} to the labels, so it cannot be the label itself)"
    return ""


def _hint_of_group(data: Data, name: str) -> str:
    if name == "coarse":
        return " (set data.coarse to a map)"
    return " (set data.bias)" if name in CUE_NAMES and data.bias is None else ""


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
