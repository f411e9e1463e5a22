"""STL-10 from its binary files: the labelled images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raycon.datasets.places import find_folder
from raycon.datasets.published import STL10
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

PARTS = (("train_X.bin", "train_y.bin"), ("test_X.bin", "test_y.bin"))
ADVICE = (
    "Unpack stl10_binary.tar.gz from https://cs.stanford.edu/~acoates/stl10/ there, or let torchvision do it: python "
    "-c \"import torchvision; torchvision.datasets.STL10('FOLDER', download=True)\", where FOLDER is what RAYCON_DATA "
    "names."
)


def stl10() -> ImageTable:
    """The 5,000 training and 8,000 test images, uint8 [13000, 3, 96, 96], training images first.

    Files hold uint8 images channel by channel, each channel column by column, and labels 1 to 10. Looked for in the
    data folders and their `stl10_binary`. The 100,000 unlabelled images are not read. Raises MissingData or
    InvalidFile.
    """
    needed = [name for part in PARTS for name in part]
    folder = find_folder("STL-10", ("stl10_binary",), needed, ADVICE)
    images, labels = zip(*[_part(folder / image, folder / label) for image, label in PARTS], strict=True)
    count = len(labels[0])
    return ImageTable(
        images=torch.cat(images),
        attributes={"class": torch.cat(labels)},
        sizes=dict(STL10.attributes),
        splits={"train": torch.arange(count), "test": torch.arange(count, count + len(labels[1]))},
        mean=STL10.mean,
        std=STL10.std,
    )


def _part(image_file: Path, label_file: Path) -> tuple[Tensor, Tensor]:
    labels = _bytes(label_file)
    pixels = _bytes(image_file)
    side = STL10.size
    if len(pixels) != len(labels) * 3 * side**2:
        reason = f"holds {len(pixels)} bytes, not {len(labels)} images of 3 x {side} x {side}"
        raise InvalidFile(reason, file=str(image_file))
    if len(labels) and not 1 <= labels.min() <= labels.max() <= len(STL10.classes):
        raise InvalidFile(f"labels run from {labels.min()} to {labels.max()}, not from 1 to 10", file=str(label_file))
    images = torch.from_numpy(pixels.reshape(-1, 3, side, side)).transpose(2, 3).contiguous()
    return images, torch.from_numpy(labels.astype(np.int64) - 1)


def _bytes(path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InvalidFile(f"cannot be read ({error.strerror or error})", file=str(path)) from error
