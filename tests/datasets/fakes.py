"""Tiny data in the published layout of Fashion-MNIST, and tiny tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch

from raycon.datasets.idx import FILES
from raycon.datasets.table import ImageTable


def idx_bytes(values: np.ndarray) -> bytes:
    """The idx file of a uint8 array."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def write_idx(path: Path, values: np.ndarray) -> None:
    """Gzipped when the path says so."""
    content = idx_bytes(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion_mnist(folder: Path, *, train: int = 50, test: int = 20, suffix: str = ".gz", size: int = 28) -> None:
    """Random images with labels 0, 1, ..., 9, 0, ... in four idx files."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        image_stem, label_stem = FILES[split]
        images = random.integers(0, 256, (count, size, size)) * (random.random((count, size, size)) < 0.6)
        write_idx(folder / f"{image_stem}{suffix}", images)
        write_idx(folder / f"{label_stem}{suffix}", np.arange(count) % 10)


def fake_table(train: list[int], test: list[int], *, size: int = 4, seed: int = 0) -> ImageTable:
    """Random grey images of the classes listed; a third of the pixels is 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(train + test, dtype=torch.int64)
    images = torch.randint(1, 256, (len(labels), 1, size, size), generator=generator)
    images = images * (torch.rand(images.shape, generator=generator) < 0.67)
    return ImageTable(
        images=images.to(torch.uint8),
        attributes={"class": labels},
        sizes={"class": int(labels.max()) + 1},
        splits={"train": torch.arange(len(train)), "test": torch.arange(len(train), len(labels))},
        mean=(0.3,),
        std=(0.4,),
    )
