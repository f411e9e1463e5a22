"""What a data set holds, counted: the numbers of its card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raycon.config import Data
from raycon.datasets.catalogue import coarse_classes, describe, info_of
from raycon.datasets.coarse_maps import subclasses
from raycon.datasets.corruption_names import CUES
from raycon.datasets.decoded import image_digest
from raycon.datasets.folder_listing import read_listing
from raycon.datasets.loading import SPLITS, load_tables, official_table
from raycon.datasets.mapped import MappedImages
from raycon.datasets.splits import content_numbers
from raycon.datasets.table import ImageTable

LISTED_VALUES = 20


@dataclass(frozen=True)
class Card:
    """content: SHA-256 over images, attributes and official parts as they are loaded, before any wrapper. shape: of one
    image. copies: images whose content another one has too. counts: split -> attribute or combination -> images of each
    value, by name where the catalogue has names."""

    name: str
    description: str
    source: str
    shape: tuple[int, ...]
    content: str
    copies: int
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]

    def lines(self) -> list[str]:
        """The card as text."""
        shape = "x".join(map(str, self.shape))
        found = [
            f"{self.name}: {self.description}",
            f"source   {self.source}",
            f"images   {shape}, {self.copies} copies",
        ]
        for split, attributes in self.counts.items():
            total = sum(next(iter(attributes.values())).values())
            found.append(f"{split:<10} {total:,} images")
            found += [f"  {name} | {_values(counts)}" for name, counts in attributes.items()]
        return [*found, f"content  sha256 {self.content}"]


def data_card(data: Data, *, split_seed: int) -> Card:
    """The card of a configured data set: the counts of its splits as a run with this seed would have them.

    Groups are those of `data.groups`, else the labels with the set's own cue. The test images are counted and hashed,
    and nothing else is done with them.
    """
    info, described = info_of(data), describe(data)
    official = official_table(data)
    tables = load_tables(data, split_seed=split_seed, splits=SPLITS)
    groups = data.groups or ((data.labels, info.bias) if info.bias else ())
    names = value_names(data)
    counts = {
        split: {
            **{name: _counts(table, (name,), names) for name in described.attributes},
            **({" x ".join(groups): _counts(table, groups, names)} if len(groups) > 1 else {}),
        }
        for split, table in tables.items()
    }
    contents = content_numbers(official.images)
    copies = len(contents) - len(torch.unique(contents))
    shape = tuple(tables["train"].images.shape[1:])
    return Card(info.name, info.description, info.source, shape, content_hash(official), copies, counts)


def content_hash(table: ImageTable) -> str:
    """SHA-256 of a table: a digest of every image, then the attributes and parts by name. The same whether the images
    are in memory or on disk."""
    whole = hashlib.sha256()
    if isinstance(table.images, MappedImages):
        digests = table.images.contents
    else:
        digests = torch.tensor([image_digest(image.tobytes()) for image in table.images.numpy()], dtype=torch.int64)
    columns = [("images", digests), *sorted(table.attributes.items()), *sorted(table.splits.items())]
    for name, values in columns:
        whole.update(f"{name}/{len(values)}\n".encode() + np.ascontiguousarray(values.numpy()).astype("<i8").tobytes())
    return whole.hexdigest()


def content_versions(configured: Iterable[Data]) -> dict[str, str]:
    """`data NAME` -> the first digits of the content hash of that set, as `raycon data card` prints it: what a log says
    about the images of its runs. Several folders or sizes of one name have their hashes joined."""
    found: dict[str, dict[str, None]] = {}
    known: set[str] = set()
    for data in configured:
        source = repr((data.dataset, data.folder, data.hugging_face, data.size))
        if source not in known:
            known.add(source)
            found.setdefault(data.dataset, {})[content_hash(official_table(data))[:16]] = None
    return {f"data {name}": "+".join(digests) for name, digests in found.items()}


def value_names(data: Data) -> dict[str, tuple[str, ...]]:
    """Attribute -> the names of its values, where they have some."""
    info = info_of(data)
    names = {"aligned": ("conflicting", "aligned"), "noisy": ("true label", "wrong label"), **info.values}
    names["class"] = info.classes
    if data.bias is not None and "corruption" in (bound := describe(data).attributes):
        names["corruption"] = (data.bias.families or CUES)[: bound["corruption"]]
    if data.folder is not None:
        names |= read_listing(data.folder).names
    if isinstance(data.coarse, str):
        names["coarse"] = info.coarse[data.coarse].names
    elif data.coarse is not None:
        members = subclasses(coarse_classes(info, data.coarse))
        names["coarse"] = tuple("/".join(info.classes[label] for label in own) for own in members)
    return names


def group_names(sizes: Mapping[str, int], groups: tuple[str, ...], names: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The names of all combinations of `groups`, in the order of their numbers (`ImageTable.product`)."""
    found = [""]
    for group in groups:
        values = names.get(group) or tuple(f"{group} {number}" for number in range(sizes[group]))
        found = [f"{before} + {value}" if before else value for before in found for value in values]
    return found


def _counts(table: ImageTable, groups: tuple[str, ...], names: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    numbers: Tensor
    numbers, count = table.product(groups)
    found = torch.bincount(numbers, minlength=count).tolist()
    return dict(zip(group_names(table.sizes, groups, names), found, strict=True))


def _values(counts: Mapping[str, int]) -> str:
    if len(counts) > LISTED_VALUES:
        return f"{len(counts)} values of {min(counts.values()):,} to {max(counts.values()):,} images"
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())
