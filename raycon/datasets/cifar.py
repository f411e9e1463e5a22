"""CIFAR-10 and CIFAR-100 from the published Python archives, whose pickles are read without running what they name."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raycon.datasets.info import DatasetInfo
from raycon.datasets.long_tail import long_tail_counts
from raycon.datasets.places import find_folder
from raycon.datasets.published import CIFAR10, CIFAR100
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

TRAIN10, TEST10 = tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",)
SIDE = 32
ADVICE = (
    "Unpack {archive} from https://www.cs.toronto.edu/~kriz/cifar.html there, or let torchvision do it: python -c "
    "\"import torchvision; torchvision.datasets.{torchvision}('FOLDER', download=True)\", where FOLDER is what "
    "RAYCON_DATA names."
)


def cifar10() -> ImageTable:
    """The 50,000 training and 10,000 test images, uint8 [60000, 3, 32, 32], training images first.

    Looked for in the data folders and their `cifar-10-batches-py`. Raises MissingData or InvalidFile.
    """
    advice = ADVICE.format(archive="cifar-10-python.tar.gz", torchvision="CIFAR10")
    folder = find_folder("CIFAR-10", ("cifar-10-batches-py",), (*TRAIN10, *TEST10, "batches.meta"), advice)
    _check_names(folder / "batches.meta", "label_names", CIFAR10.classes)
    return _table(CIFAR10, "labels", [folder / name for name in TRAIN10], [folder / name for name in TEST10])


def cifar100() -> ImageTable:
    """The 50,000 training and 10,000 test images, uint8 [60000, 3, 32, 32], training images first.

    The attribute `class` is the fine label; the published coarse labels must agree with the catalogue's map, by which
    `data.coarse: superclasses` makes them. Looked for in the data folders and their `cifar-100-python`. Raises
    MissingData or InvalidFile.
    """
    advice = ADVICE.format(archive="cifar-100-python.tar.gz", torchvision="CIFAR100")
    folder = find_folder("CIFAR-100", ("cifar-100-python",), ("train", "test", "meta"), advice)
    _check_names(folder / "meta", "fine_label_names", CIFAR100.classes)
    for name in ("train", "test"):
        batch = read_pickle(folder / name)
        fine, coarse = (_labels(batch, key, folder / name) for key in ("fine_labels", "coarse_labels"))
        of = torch.tensor(CIFAR100.coarse["superclasses"].of)
        if len(fine) != len(coarse) or bool((of[fine.clamp(0, 99)] != coarse).any()):
            raise InvalidFile("coarse_labels are not the published superclasses", file=str(folder / name))
    return _table(CIFAR100, "fine_labels", [folder / "train"], [folder / "test"])


def cifar_lt(name: str) -> ImageTable:
    """CIFAR-10-LT or CIFAR-100-LT: the training images that the public code of Cao et al. 2019 (LDAM, arXiv 1906.07413)
    draws, and all test images. `name` is `cifar10_lt_100` for an imbalance of 100 to 1, and so on.

    Class k of n keeps int(m / imbalance^(k / (n - 1))) of its m images, drawn with numpy's old generator and seed 0,
    class by class: the same images as there, whatever the split seed. Validation images are drawn from these. For
    other imbalances, kinds and seeds see `data.long_tail`, which thins out after validation images are taken.
    """
    plain, _, imbalance = name.rpartition("_lt_")
    table = {"cifar10": cifar10, "cifar100": cifar100}[plain]()
    labels = table.attributes["class"][table.splits["train"]].numpy()
    kept = torch.from_numpy(long_tailed_rows(labels, 1 / int(imbalance)))
    return replace(
        table.rows(torch.cat([kept, table.splits["test"]])),
        splits={
            "train": torch.arange(len(kept)),
            "test": torch.arange(len(kept), len(kept) + len(table.splits["test"])),
        },
    )


def long_tailed_rows(labels: np.ndarray[Any, np.dtype[np.int64]], share: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The rows that the long-tailed CIFAR of Cao et al. 2019 keeps of its training images, ascending."""
    generator = np.random.RandomState(0)
    classes = np.unique(labels)
    counts = long_tail_counts(len(classes), len(labels) // len(classes), share, "exponential")
    kept = []
    for label, count in zip(classes, counts, strict=True):
        rows = np.where(labels == label)[0]
        generator.shuffle(rows)
        kept.append(rows[:count])
    return np.sort(np.concatenate(kept))


def read_pickle(path: Path) -> Mapping[str, Any]:
    """The dictionary in a pickle that may hold numbers, text, lists and numpy arrays, and nothing else.

    Raises InvalidFile for a file that cannot be read, asks for anything beyond that, or holds no dictionary.
    """
    try:
        content = _OnlyArrays(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise InvalidFile(f"cannot be read ({error.strerror or error})", file=str(path)) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        raise InvalidFile(f"is no pickle of arrays ({type(error).__name__}: {error})", file=str(path)) from error
    if not isinstance(content, dict):
        raise InvalidFile("holds no dictionary", file=str(path))
    return content


class _OnlyArrays(pickle.Unpickler):
    """Knows the few names that arrays are made of, and refuses all others: a pickle can name any function to call."""

    ALLOWED = frozenset(
        [("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")]
        + [(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")
        # The published files name a module that numpy has moved.
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def _table(info: DatasetInfo, key: str, train: Sequence[Path], test: Sequence[Path]) -> ImageTable:
    parts = [_part(path, key, len(info.classes)) for path in (*train, *test)]
    images, labels = zip(*parts, strict=True)
    count = sum(len(part) for part in labels[: len(train)])
    return ImageTable(
        images=torch.cat(images),
        attributes={"class": torch.cat(labels)},
        sizes=dict(info.attributes),
        splits={"train": torch.arange(count), "test": torch.arange(count, sum(map(len, labels)))},
        mean=info.mean,
        std=info.std,
    )


def _part(path: Path, key: str, classes: int) -> tuple[Tensor, Tensor]:
    batch = read_pickle(path)
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE**2:
        raise InvalidFile(f"'data' is not uint8 [n, {3 * SIDE**2}]", file=str(path))
    labels = _labels(batch, key, path)
    if len(labels) != len(data):
        raise InvalidFile(f"{len(labels)} labels for {len(data)} images", file=str(path))
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        reason = f"labels run from {int(labels.min())} to {int(labels.max())}, not from 0 to {classes - 1}"
        raise InvalidFile(reason, file=str(path))
    return torch.from_numpy(data.reshape(-1, 3, SIDE, SIDE).copy()), labels


def _labels(batch: Mapping[str, Any], key: str, path: Path) -> Tensor:
    labels = batch.get(key)
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise InvalidFile(f"{key!r} is no list of whole numbers", file=str(path))
    return torch.tensor(labels, dtype=torch.int64)


def _check_names(path: Path, key: str, expected: Sequence[str]) -> None:
    found = read_pickle(path).get(key)
    if list(found or ()) != list(expected):
        raise InvalidFile(f"{key!r} are not the {len(expected)} published ones in their order", file=str(path))
