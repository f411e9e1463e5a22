"""BAR, Biased Action Recognition: actions at the places that go with them, tested at other places."""

from __future__ import annotations

from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.places import find_folder, image_files
from raycon.datasets.published import BAR
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

ADVICE = "Clone https://github.com/alinlab/BAR there."
ALSO = {"pole vaulting": "vaulting"}
"""Names of files -> the class; the authors' table calls it vaulting, their files do not."""


def bar(size: int) -> ImageTable:
    """The 1,941 training and 654 test photographs, uint8 [2595, 3, size, size], training images first.

    Layout: `train/<class>_<number>.jpg` and `test/<class>_<number>.jpg`. The place is not annotated, so there is no
    attribute beside `class`: training images show the place that goes with the action, test images others (Nam et al.
    2020, arXiv 2007.02561). Looked for in the data folders' `BAR` and `bar`. Raises MissingData or InvalidFile.
    """
    folder = find_folder("BAR", ("BAR", "bar"), ("train", "test"), ADVICE, root_too=False)
    parts = [list(image_files(folder / name)) for name in ("train", "test")]
    for name, part in zip(("train", "test"), parts, strict=True):
        if not part:
            raise InvalidFile("has no images; they are <class>_<number>.jpg", file=str(folder / name))
    paths = [path for part in parts for path in part]
    return ImageTable(
        images=decoded_images("bar", paths, size),
        attributes={"class": torch.tensor([_label(path) for path in paths], dtype=torch.int64)},
        sizes=dict(BAR.attributes),
        splits={"train": torch.arange(len(parts[0])), "test": torch.arange(len(parts[0]), len(paths))},
        mean=BAR.mean,
        std=BAR.std,
    )


def _label(path: Path) -> int:
    name, _, number = path.stem.rpartition("_")
    name = ALSO.get(name, name)
    if name not in BAR.classes or not number.isdecimal():
        known = ", ".join(BAR.classes)
        raise InvalidFile(f"is not called <class>_<number>, with one of: {known}", file=str(path))
    return BAR.classes.index(name)
