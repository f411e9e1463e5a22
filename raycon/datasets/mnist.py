"""MNIST from a folder of idx files."""

from __future__ import annotations

from pathlib import Path

import torch

from raycon.datasets.idx import FILES, read_part
from raycon.datasets.places import find_folder
from raycon.datasets.published import MNIST
from raycon.datasets.table import ImageTable

FOLDERS = ("mnist", "MNIST/raw", "MNIST")
ADVICE = (
    "Put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (plain or "
    ".gz) there, or let torchvision do it: python -c \"import torchvision; torchvision.datasets.MNIST('FOLDER', "
    'download=True)", where FOLDER is what RAYCON_DATA names.'
)


def mnist() -> ImageTable:
    """The 60,000 training and 10,000 test images, uint8 [70000, 1, 28, 28], training images first.

    Raises MissingData where the files are not, InvalidFile for a broken file.
    """
    needed = [f"{stem}|{stem}.gz" for stems in FILES.values() for stem in stems]
    # A root itself would do for Fashion-MNIST as well, whose files have the same names: only named folders are taken.
    folder = find_folder("MNIST", FOLDERS, needed, ADVICE, root_too=False)
    found = {stem: _present(folder, stem) for stems in FILES.values() for stem in stems}
    parts = [read_part(found[image], found[label], MNIST) for image, label in FILES.values()]
    images, labels = zip(*parts, strict=True)
    counts = [len(part) for part in images]
    return ImageTable(
        images=torch.cat(images).unsqueeze(1),
        attributes={"class": torch.cat(labels)},
        sizes=dict(MNIST.attributes),
        splits={"train": torch.arange(counts[0]), "test": torch.arange(counts[0], sum(counts))},
        mean=MNIST.mean,
        std=MNIST.std,
    )


def _present(folder: Path, stem: str) -> Path:
    return next(path for path in (folder / stem, folder / f"{stem}.gz") if path.exists())
