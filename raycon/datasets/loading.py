"""From a configuration to the tables of its splits: load, map to coarse classes, split, colour."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import torch

from raycon.config import Bias, Data
from raycon.datasets.biased import biased
from raycon.datasets.catalogue import DatasetInfo, coarse_classes, dataset_info, describe
from raycon.datasets.coarse import coarse
from raycon.datasets.digits import digits
from raycon.datasets.fashion_mnist import fashion_mnist
from raycon.datasets.splits import with_validation
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile
from raycon.seeding import derive_seed

LOADERS: dict[str, Callable[[], ImageTable]] = {"digits": digits, "fashion_mnist": fashion_mnist}
SPLITS = ("train", "validation", "test")


def load_tables(
    data: Data, *, split_seed: int, splits: tuple[str, ...] = ("train", "validation")
) -> dict[str, ImageTable]:
    """One table per name in `splits`, and no other: nobody meets the test images without asking for them.

    Attributes: those of the data set, `coarse` with `data.coarse`, `colour` and `aligned` with `data.bias`. The same
    `data` and `split_seed` give the same images in the same order, whichever splits are asked for.

    The tables of the last two configurations are kept and shared: do not write to their tensors. Raises InvalidFile
    for what `describe` or the splits refuse, and MissingData for data that are not there.
    """
    if unknown := [name for name in splits if name not in SPLITS]:
        raise ValueError(f"no split {unknown[0]!r}; there are {', '.join(SPLITS)}")
    describe(data)
    info = dataset_info(data.dataset)
    return dict(
        _tables(
            data.dataset,
            os.environ.get("RAYCON_DATA"),
            None if data.coarse is None else coarse_classes(info, data.coarse),
            data.bias,
            data.labels if data.bias else None,
            (data.train_size, data.validation_size),
            split_seed,
            splits,
        )
    )


@lru_cache(maxsize=2)
def _tables(
    name: str,
    place: str | None,
    classes: tuple[int, ...] | None,
    bias: Bias | None,
    labels: str | None,
    sizes: tuple[int | None, int | None],
    seed: int,
    splits: tuple[str, ...],
) -> dict[str, ImageTable]:
    """Every argument is part of the key; two entries, because 60,000 coloured images of 28x28 pixels are 141 MB."""
    table = _loaded(name, place)
    if classes is not None:
        table = coarse(table, classes)
    train_size, validation_size = sizes
    table = with_validation(
        table, seed=derive_seed(seed, "split"), validation_size=validation_size, train_size=train_size
    )
    tables = {split: table.split(split) for split in splits}
    if bias is None or labels is None:
        return tables
    return {
        split: biased(part, bias, labels=labels, seed=derive_seed(seed, "bias", split), bound=split == "train")
        for split, part in tables.items()
    }


@lru_cache(maxsize=1)
def _loaded(name: str, place: str | None) -> ImageTable:
    """The data set as its loader gives it, checked. `place` (RAYCON_DATA) is only a part of the key."""
    table = LOADERS[name]()
    check_table(table, dataset_info(name))
    return table


def check_table(table: ImageTable, info: DatasetInfo) -> None:
    """Raise InvalidFile unless a loaded table is what the catalogue says: type, shape, attribute names and ranges."""
    images, expected = table.images, (info.channels, info.size, info.size)
    if images.dtype != torch.uint8 or images.dim() != 4 or tuple(images.shape[1:]) != expected:
        reason = f"images of {info.name} are {images.dtype} {list(images.shape)}, not uint8 {['n', *expected]}"
        raise InvalidFile(reason, field="data.dataset")
    if dict(table.sizes) != dict(info.attributes) or set(table.attributes) != set(info.attributes):
        reason = f"attributes of {info.name} are {dict(table.sizes)}, the catalogue says {dict(info.attributes)}"
        raise InvalidFile(reason, field="data.dataset")
    for name, values in table.attributes.items():
        if len(values) != len(images):
            reason = f"{len(values)} values of {name!r} for {len(images)} images of {info.name}"
            raise InvalidFile(reason, field="data.dataset")
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < table.sizes[name]:
            reason = f"values of {name!r} run from {int(values.min())} to {int(values.max())}"
            reason = f"{reason}, not from 0 to {table.sizes[name] - 1}"
            raise InvalidFile(reason, field="data.dataset")


def forget_tables() -> None:
    """Drop the kept tables, for example before a process goes on to something that needs the memory."""
    _tables.cache_clear()
    _loaded.cache_clear()
