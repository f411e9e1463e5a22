"""Fashion-MNIST from a folder of idx files: where it is looked for, how it is fetched, and what is checked."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import torch

from raycon.datasets.catalogue import FASHION_MNIST
from raycon.datasets.idx import FILES, read_part
from raycon.datasets.places import RayconWarning
from raycon.datasets.table import ImageTable
from raycon.errors import MissingData

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def fashion_mnist() -> ImageTable:
    """The 60,000 training and 10,000 test images, uint8 [70000, 1, 28, 28], training images first.

    Looked for in `RAYCON_DATA` (the folder itself, its `fashion-mnist`, its `FashionMNIST/raw`), in the folder of the
    Debian package, in `~/.cache/raycon`; else downloaded through torchvision into `RAYCON_DATA` or `~/.cache/raycon`,
    unless `RAYCON_OFFLINE=1`. Files may be plain or end in `.gz`. A RayconWarning says it where `RAYCON_DATA` is set
    but another place is used. Raises MissingData, which says every place that was tried, or InvalidFile for a broken
    file.
    """
    found = _find()
    parts = [read_part(found[image], found[label], FASHION_MNIST) for image, label in FILES.values()]
    images, labels = zip(*parts, strict=True)
    counts = [len(part) for part in images]
    return ImageTable(
        images=torch.cat(images).unsqueeze(1),
        attributes={"class": torch.cat(labels)},
        sizes={"class": len(FASHION_MNIST.classes)},
        splits={"train": torch.arange(counts[0]), "test": torch.arange(counts[0], sum(counts))},
        mean=FASHION_MNIST.mean,
        std=FASHION_MNIST.std,
    )


def places() -> list[Path]:
    """The folders that are looked into, in order."""
    return [*_named_places(), SYSTEM_FOLDER, _cache() / "FashionMNIST" / "raw"]


def _named_places() -> list[Path]:
    named = os.environ.get("RAYCON_DATA")
    if not named:
        return []
    root = Path(named).expanduser()
    return [root, root / "fashion-mnist", root / "FashionMNIST" / "raw"]


def _cache() -> Path:
    return Path.home() / ".cache" / "raycon"


def _find() -> dict[str, Path]:
    """File stem -> path, from the first place that holds all four files."""
    tried = []
    named = _named_places()
    for folder in places():
        found = _files_in(folder)
        if len(found) == 4:
            if named and folder not in named:
                message = f"no Fashion-MNIST in {named[0]}, which RAYCON_DATA names; {folder} is used instead"
                warnings.warn(message, RayconWarning, stacklevel=3)
            return found
        missing = sorted({stem for stems in FILES.values() for stem in stems} - set(found))
        tried.append(f"{folder} ({'lacks ' + ', '.join(missing) if found else 'has none of its files'})")
    if os.environ.get("RAYCON_OFFLINE") == "1":
        raise MissingData(_advice(tried, "no download was tried, because RAYCON_OFFLINE=1"))
    return _download(Path(os.environ.get("RAYCON_DATA") or _cache()).expanduser(), tried)


def _files_in(folder: Path) -> dict[str, Path]:
    found = {}
    for stems in FILES.values():
        for stem in stems:
            candidates = (folder / stem, folder / f"{stem}.gz")
            if path := next((path for path in candidates if path.is_file()), None):
                found[stem] = path
    return found


def _download(root: Path, tried: list[str]) -> dict[str, Path]:
    """Fetch through torchvision into a folder of our own, then rename: no reader ever meets half a file."""
    from torchvision.datasets import FashionMNIST

    target = root / "FashionMNIST" / "raw"
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            FashionMNIST(scratch, download=True)
            for path in _files_in(Path(scratch) / "FashionMNIST" / "raw").values():
                os.replace(path, target / path.name)
    except (OSError, RuntimeError) as error:
        raise MissingData(_advice(tried, f"a download into {root} failed ({error})")) from error
    return _files_in(target)


def _advice(tried: list[str], download: str) -> str:
    return (
        f"Fashion-MNIST was not found. Looked into {'; '.join(tried)}; {download}. "
        "Install the Debian package dataset-fashion-mnist, or set RAYCON_DATA to a folder with its four idx files."
    )
