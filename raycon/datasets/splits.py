"""Train, validation and test rows: seeded, stratified by class, disjoint by content."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from raycon.datasets.mapped import MappedImages
from raycon.datasets.places import RayconWarning
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile
from raycon.seeding import derive_seed

VALIDATION_SHARE = 0.1
VALIDATION_LIMIT = 10_000


def with_validation(
    table: ImageTable, *, seed: int, validation_size: int | None = None, train_size: int | None = None
) -> ImageTable:
    """`table` whose splits are `train`, `validation` and the unchanged `test`.

    Where the set has an official validation part, that is kept, or `validation_size` images of it drawn with `seed`,
    stratified by class. Else validation rows are drawn from the official training rows with `seed`; `validation_size`
    is a tenth of them when it is None, at most 10,000. `train_size` keeps a stratified subset of the rest (None: all of
    it); it changes neither the validation rows nor, but for the rounding of class shares, the order in which rows are
    taken.

    Identical images never stand in two splits: training rows that repeat a test image are dropped, and rows of
    identical content go to one split together. So where large groups of copies do not fit, validation may end up a
    little smaller than asked; a RayconWarning says so. A class with one image keeps it in train, with a RayconWarning.

    Raises InvalidFile for a class without a training image and for sizes that cannot be met, with the numbers.
    """
    labels, classes = table.attributes["class"], table.sizes["class"]
    contents = content_numbers(table.images)
    rows = table.splits["train"]
    rows = rows[~torch.isin(contents[rows], contents[table.splits["test"]])]
    _check_classes(labels[rows], classes)
    if "validation" in table.splits:
        validation = _official_validation(table, contents, validation_size, seed=derive_seed(seed, "validation"))
        train = rows[~torch.isin(contents[rows], contents[validation])]
    else:
        if validation_size is None:
            validation_size = min(max(int(len(rows) * VALIDATION_SHARE), 1), VALIDATION_LIMIT)
        _check_sizes(len(rows), classes, validation_size, train_size)
        validation = _whole_groups(rows, labels, contents, validation_size, seed=derive_seed(seed, "validation"))
        train = rows[~torch.isin(rows, validation)]
    _check_classes(labels[train], classes)
    if train_size is not None:
        if train_size < classes:
            reason = f"{train_size} training images cannot hold one of each of {classes} classes"
            raise InvalidFile(reason, field="data.train_size")
        if train_size > len(train):
            raise InvalidFile(_too_many(len(rows), len(validation), train_size), field="data.train_size")
        train = stratified_sample(train, labels, train_size, seed=derive_seed(seed, "train"), least=1)
    return replace(table, splits={**table.splits, "train": train, "validation": validation})


def _official_validation(table: ImageTable, contents: Tensor, wanted: int | None, *, seed: int) -> Tensor:
    rows = table.splits["validation"]
    rows = rows[~torch.isin(contents[rows], contents[table.splits["test"]])]
    if wanted is None:
        return rows
    if wanted > len(rows):
        reason = f"{wanted} is more than the {len(rows)} official validation images"
        raise InvalidFile(reason, field="data.validation_size")
    return stratified_sample(rows, table.attributes["class"], wanted, seed=seed)


def stratified_sample(rows: Tensor, labels: Tensor, total: int, *, seed: int, least: int = 0) -> Tensor:
    """`total` of `rows` in ascending order, each class in its share; `labels` is indexed by row. `least`: see `shares`.

    A class is shuffled once with (seed, class) and its first rows are taken, so a smaller sample lies in a larger one
    but for the rounding of the shares.
    """
    members = _by_class(rows, labels)
    quotas = shares(total, [len(member) for member in members], [min(least, len(member)) for member in members])
    taken = [
        member[_permutation(len(member), derive_seed(seed, number))[:quota]]
        for number, (member, quota) in enumerate(zip(members, quotas, strict=True))
    ]
    return torch.cat(taken).sort().values


def shares(total: int, available: Sequence[int], least: Sequence[int]) -> list[int]:
    """`total` dealt out in proportion to `available`: whole numbers, at least `least` and at most `available` each.

    Largest remainder; ties go to the lower index. Needs sum(least) <= total <= sum(available).
    """
    if not sum(least) <= total <= sum(available):
        raise ValueError(f"cannot deal {total} out over {list(available)} with at least {list(least)}")
    whole = sum(available)
    ideal = [total * count / whole if whole else 0.0 for count in available]
    dealt = [min(max(int(share), low), count) for share, low, count in zip(ideal, least, available, strict=True)]
    indices = range(len(dealt))
    while sum(dealt) < total:
        open_ones = [index for index in indices if dealt[index] < available[index]]
        dealt[max(open_ones, key=lambda index: ideal[index] - dealt[index])] += 1
    while sum(dealt) > total:
        open_ones = [index for index in indices if dealt[index] > least[index]]
        dealt[min(open_ones, key=lambda index: ideal[index] - dealt[index])] -= 1
    return dealt


def content_numbers(images: Tensor | MappedImages) -> Tensor:
    """int64 [n]: equal for images that are equal byte for byte. In a tensor they are numbered by first appearance; of
    images on disk the stored numbers are taken."""
    if isinstance(images, MappedImages):
        return images.contents
    seen: dict[bytes, int] = {}
    flat = images.reshape(len(images), -1).numpy()
    return torch.tensor([seen.setdefault(image.tobytes(), len(seen)) for image in flat], dtype=torch.int64)


def _whole_groups(rows: Tensor, labels: Tensor, contents: Tensor, total: int, *, seed: int) -> Tensor:
    """About `total` of `rows`, stratified by class, where rows of equal content are taken together or not at all."""
    members = _groups_by_class(rows, labels, contents)
    lonely = [number for number, groups in enumerate(members) if len(groups) == 1]
    if lonely:
        listed = ", ".join(str(number) for number in lonely)
        message = f"class {listed}: one distinct image each, which stays in train; validation has none"
        warnings.warn(message, RayconWarning, stacklevel=2)
    room = [sum(map(len, groups)) - min(map(len, groups)) for groups in members]
    quotas = shares(min(total, sum(room)), room, [0] * len(room))
    taken: list[int] = []
    for number, (groups, quota) in enumerate(zip(members, quotas, strict=True)):
        for place in _permutation(len(groups), derive_seed(seed, number)).tolist():
            if quota == 0:
                break
            if len(groups[place]) <= quota:
                taken += groups[place]
                quota -= len(groups[place])
    if len(taken) < total:
        message = f"{len(taken)} validation images instead of {total}: copies of an image stay in one split"
        warnings.warn(message, RayconWarning, stacklevel=2)
    return torch.tensor(sorted(taken), dtype=torch.int64)


def _groups_by_class(rows: Tensor, labels: Tensor, contents: Tensor) -> list[list[list[int]]]:
    """Per class, the lists of rows of equal content; a content with several labels counts for that of its first row."""
    groups: dict[int, list[int]] = {}
    for row, content in zip(rows.tolist(), contents[rows].tolist(), strict=True):
        groups.setdefault(content, []).append(row)
    members: list[list[list[int]]] = [[] for _ in range(int(labels[rows].max()) + 1)]
    firsts = labels[torch.tensor([group[0] for group in groups.values()])].tolist()
    for label, group in zip(firsts, groups.values(), strict=True):
        members[label].append(group)
    return members


def _by_class(rows: Tensor, labels: Tensor) -> list[Tensor]:
    return [rows[labels[rows] == number] for number in range(int(labels.max()) + 1)]


def _permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _check_classes(labels: Tensor, classes: int) -> None:
    empty = (torch.bincount(labels, minlength=classes) == 0).nonzero().flatten().tolist()
    if empty:
        listed = ", ".join(str(number) for number in empty)
        raise InvalidFile(f"class {listed} has no training image", field="data.dataset")


def _check_sizes(images: int, classes: int, validation_size: int, train_size: int | None) -> None:
    if train_size is not None and train_size < classes:
        reason = f"{train_size} training images cannot hold one of each of {classes} classes"
        raise InvalidFile(reason, field="data.train_size")
    if validation_size > images - classes:
        reason = f"{validation_size} validation images and one training image of each of {classes} classes"
        reason = f"{reason} are more than the {images} there are to split"
        raise InvalidFile(reason, field="data.validation_size")
    if train_size is not None and validation_size + train_size > images:
        raise InvalidFile(_too_many(images, validation_size, train_size), field="data.train_size")


def _too_many(images: int, validation: int, train: int) -> str:
    return f"{train} training and {validation} validation images are more than the {images} there are to split"
