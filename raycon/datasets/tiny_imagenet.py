"""Tiny ImageNet from the folders of its archive."""

from __future__ import annotations

from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.places import find_folder, image_files
from raycon.datasets.published import TINY_IMAGENET
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

ADVICE = "Unpack tiny-imagenet-200.zip from http://cs231n.stanford.edu/tiny-imagenet-200.zip there."


def tiny_imagenet(size: int) -> ImageTable:
    """The 100,000 training images and the 10,000 official validation images as test images, since the official test
    images have no labels: uint8 [110000, 3, size, size].

    Layout: `train/<WordNet number>/images/*`, `val/images/*`, and `val/val_annotations.txt` with a line for each
    validation image: file and WordNet number first, divided by tabs. Classes are numbered by ascending WordNet number.
    Looked for in the data folders and their `tiny-imagenet-200`. Raises MissingData or InvalidFile.
    """
    needed = ("train", "val/images", "val/val_annotations.txt")
    folder = find_folder("Tiny ImageNet", ("tiny-imagenet-200",), needed, ADVICE)
    paths, labels = [], []
    for label, number in enumerate(TINY_IMAGENET.classes):
        own = folder / "train" / number / "images"
        if not own.is_dir():
            raise InvalidFile("is missing; the archive is not unpacked whole", file=str(own))
        found = list(image_files(own))
        paths += found
        labels += [label] * len(found)
    train = len(paths)
    for path, label in _annotations(folder / "val"):
        paths.append(path)
        labels.append(label)
    return ImageTable(
        images=decoded_images("tiny_imagenet", paths, size),
        attributes={"class": torch.tensor(labels, dtype=torch.int64)},
        sizes=dict(TINY_IMAGENET.attributes),
        splits={"train": torch.arange(train), "test": torch.arange(train, len(paths))},
        mean=TINY_IMAGENET.mean,
        std=TINY_IMAGENET.std,
    )


def _annotations(folder: Path) -> list[tuple[Path, int]]:
    numbers = {number: label for label, number in enumerate(TINY_IMAGENET.classes)}
    path, found = folder / "val_annotations.txt", []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = text.split("\t")
        if len(fields) < 2 or fields[1] not in numbers:
            raise InvalidFile("has no file and WordNet number of one of the 200 classes", file=str(path), line=line)
        found.append((folder / "images" / fields[0], numbers[fields[1]]))
    return found
