"""From a configuration to the tables of its splits: load, map to coarse classes, split, thin out, colour."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import torch

from raycon.config import Data
from raycon.datasets.aligned_folders import bffhq, colored_mnist, corrupted_cifar10
from raycon.datasets.balanced_groups import balanced_groups
from raycon.datasets.bar import bar
from raycon.datasets.biased import biased
from raycon.datasets.catalogue import coarse_classes, cue_name, describe, info_of
from raycon.datasets.celeba import celeba
from raycon.datasets.cifar import cifar10, cifar100, cifar_lt
from raycon.datasets.coarse import coarse
from raycon.datasets.corruption_bias import corruption_biased
from raycon.datasets.digits import digits
from raycon.datasets.fashion_mnist import fashion_mnist
from raycon.datasets.folder import folder_images
from raycon.datasets.folder_listing import listing_changed
from raycon.datasets.hugging_face import hugging_face_images
from raycon.datasets.hugging_face_listing import local_path
from raycon.datasets.imagenet import imagenet9, imagenet9_a, imagenet100, imagenet_lt, places_lt
from raycon.datasets.info import DatasetInfo
from raycon.datasets.isic import isic
from raycon.datasets.label_noise import noisy_labels
from raycon.datasets.long_tail import thinned
from raycon.datasets.mnist import mnist
from raycon.datasets.published import CIFAR_LT, COLORED_MNIST, CORRUPTED_CIFAR10
from raycon.datasets.resized import resized
from raycon.datasets.splits import with_validation
from raycon.datasets.stl10 import stl10
from raycon.datasets.table import ImageTable
from raycon.datasets.tiny_imagenet import tiny_imagenet
from raycon.datasets.unbalanced import unbalanced
from raycon.datasets.waterbirds import waterbirds
from raycon.errors import InvalidFile
from raycon.seeding import derive_seed

LOADERS: dict[str, Callable[[], ImageTable]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "stl10": stl10,
    **{name: partial(cifar_lt, name) for name in CIFAR_LT},
}
"""Sets that come as arrays."""
DECODED: dict[str, Callable[[int], ImageTable]] = {
    "tiny_imagenet": tiny_imagenet,
    "celeba": celeba,
    "waterbirds": waterbirds,
    "bffhq": bffhq,
    "isic": isic,
    "bar": bar,
    "imagenet100": imagenet100,
    "imagenet9": imagenet9,
    "imagenet9_a": imagenet9_a,
    "imagenet_lt": imagenet_lt,
    "places_lt": places_lt,
    **{name: partial(corrupted_cifar10, name) for name in CORRUPTED_CIFAR10},
    **{name: partial(colored_mnist, name) for name in COLORED_MNIST},
}
"""Sets of image files, by the size to which they are decoded."""
Places = tuple[str | None, str | None, tuple[tuple[int, int], ...]]
"""RAYCON_DATA, RAYCON_CACHE, and when the CSV or folder of an own set changed."""
SPLITS = ("train", "validation", "test")


def load_tables(
    data: Data, *, split_seed: int, splits: tuple[str, ...] = ("train", "validation")
) -> dict[str, ImageTable]:
    """One table per name in `splits`, and no other: nobody meets the test images without asking for them.

    Attributes: those of the data set, `coarse` with `data.coarse`, `colour` (or `corruption`) and `aligned` with
    `data.bias`, `noisy` with `data.label_noise`. The same `data` and `split_seed` give the same images in the same
    order, whichever splits are asked for.

    The tables of the last two configurations are kept and shared: do not write to their tensors. Raises InvalidFile
    for what `describe` or the splits refuse, and MissingData for data that are not there.
    """
    if unknown := [name for name in splits if name not in SPLITS]:
        raise ValueError(f"no split {unknown[0]!r}; there are {', '.join(SPLITS)}")
    describe(data)
    labels_matter = data.bias is not None or data.long_tail is not None or data.label_noise > 0
    recipe = replace(
        data,
        coarse=None,
        labels=data.labels if labels_matter else "class",
        groups=data.groups if data.balance_groups else (),
        bias_labels=None,
        reveal=(),
    )
    classes = None if data.coarse is None else coarse_classes(info_of(data), data.coarse)
    return dict(_tables(recipe, classes, _places(data), split_seed, splits))


@lru_cache(maxsize=2)
def _tables(
    recipe: Data, classes: tuple[int, ...] | None, places: Places, seed: int, splits: tuple[str, ...]
) -> dict[str, ImageTable]:
    """Every argument is part of the key; two entries, because 60,000 coloured images of 28x28 pixels are 141 MB.

    recipe: the configuration without what does not change the tables; `classes` are its coarse classes.
    """
    table = _loaded(_source(recipe), places)
    if classes is not None:
        table = coarse(table, classes)
    table = with_validation(
        table,
        seed=derive_seed(seed, "split"),
        validation_size=recipe.validation_size,
        train_size=recipe.train_size,
    )
    tables = {split: table.split(split) for split in splits}
    if "train" in tables:
        tables["train"] = _thinned(tables["train"], recipe, classes, seed)
    return {split: _marked(part, recipe, split, seed) for split, part in tables.items()}


def _thinned(table: ImageTable, recipe: Data, classes: tuple[int, ...] | None, seed: int) -> ImageTable:
    """The training images, less those that the wrappers take away."""
    if recipe.subclass_shares is not None and classes is not None:
        table = unbalanced(table, classes, recipe.subclass_shares, seed=derive_seed(seed, "subclass_shares"))
    if recipe.long_tail is not None:
        table = thinned(table, recipe.long_tail, labels=recipe.labels, seed=derive_seed(seed, "long_tail"))
    return table


def _marked(table: ImageTable, recipe: Data, split: str, seed: int) -> ImageTable:
    """One split with what changes images or labels, in this order: colours follow the true labels."""
    bound = split == "train"
    if recipe.bias is not None:
        bias_seed = derive_seed(seed, "bias", split)
        bind = corruption_biased if cue_name(recipe.bias) == "corruption" else biased
        table = bind(table, recipe.bias, labels=recipe.labels, seed=bias_seed, bound=bound)
    if recipe.balance_groups and bound:
        table = balanced_groups(table, recipe.groups, seed=derive_seed(seed, "balance_groups"))
    if recipe.label_noise > 0:
        share = recipe.label_noise if bound else 0.0
        table = noisy_labels(table, share, labels=recipe.labels, seed=derive_seed(seed, "label_noise"))
    return table


def _source(data: Data) -> Data:
    """The parts of a configuration that say which images are read."""
    return Data(dataset=data.dataset, folder=data.folder, hugging_face=data.hugging_face, size=data.size)


@lru_cache(maxsize=1)
def _loaded(source: Data, places: Places) -> ImageTable:
    """The data set as its loader gives it, at the size wanted, checked. `places` is only a part of the key."""
    info = info_of(source)
    if source.folder is not None:
        table = folder_images(source.folder, info.size)
    elif source.hugging_face is not None:
        table = hugging_face_images(source.hugging_face, info.size)
    elif source.dataset in DECODED:
        table = DECODED[source.dataset](info.size)
    else:
        table = resized(LOADERS[source.dataset](), info.size)
    check_table(table, info)
    return table


def official_table(data: Data) -> ImageTable:
    """The whole configured set as its loader gives it, at `data.size`, with its official parts and no wrapper."""
    describe(data)
    return _loaded(_source(data), _places(data))


def _places(data: Data) -> Places:
    changed: tuple[tuple[int, int], ...] = ()
    if data.folder is not None:
        changed = listing_changed(data.folder)
    elif data.hugging_face is not None and (own := local_path(data.hugging_face)) is not None:
        changed = ((own.stat().st_mtime_ns, 0),)
    return (os.environ.get("RAYCON_DATA"), os.environ.get("RAYCON_CACHE"), changed)


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
