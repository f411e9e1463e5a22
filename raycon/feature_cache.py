"""Embeddings on disk: what an encoder made of a table is encoded once, and found again by what it was made from.

A key is the hash of the encoder's weights and structure, of its preprocessing, of every pixel of the table with its
mean and deviation, and of the library's version. An entry is a folder with a safetensors file and a manifest with its
checksum, as a checkpoint is; one that is damaged is made again. The folder is `features` in `RAYCON_CACHE`, else in
`~/.cache/raycon`. It may be deleted at any time; above `LARGEST` bytes the entries that were not used for longest go.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raycon.checkpoints import MANIFEST, DamagedCheckpoint, read_checkpoint, write_checkpoint
from raycon.datasets import ImageTable

FORMAT = 1
LARGEST = 2 * 2**30
ROWS_AT_ONCE = 2000


def features_folder() -> Path:
    """Where embeddings are kept."""
    named = os.environ.get("RAYCON_CACHE")
    return (Path(named).expanduser() if named else Path.home() / ".cache" / "raycon") / "features"


def fingerprint(model: nn.Module) -> str:
    """The SHA-256 of every parameter and buffer by name, type, shape and bytes, and of the structure as it prints."""
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(_bytes(value))
    return digest.hexdigest()


def table_hash(table: ImageTable) -> str:
    """The SHA-256 of the images of a table, in their order, and of the mean and deviation that they are given with."""
    digest = hashlib.sha256(f"{list(table.images.shape)} {table.mean} {table.std}".encode())
    for start in range(0, len(table), ROWS_AT_ONCE):
        digest.update(_bytes(table.images[start : start + ROWS_AT_ONCE]))
    return digest.hexdigest()


def _bytes(values: Tensor) -> Any:
    """The memory of a tensor, not copied."""
    return values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


@dataclass
class FeatureCache:
    """The cache of one encoder. encoder: its fingerprint and preprocessing. made, found: how many tables were encoded,
    and how many were read from the disk."""

    encoder: str
    folder: Path = field(default_factory=features_folder)
    largest: int = LARGEST
    made: int = 0
    found: int = 0

    def encode(self, table: ImageTable, embed: Callable[[ImageTable], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """What `embed` makes of a table, from the disk where it is there and whole. A disk that cannot be written is no
        error: nothing is kept then."""
        text = f"{FORMAT} {torch.__version__} {self.encoder} {table_hash(table)}"
        place = self.folder / hashlib.sha256(text.encode()).hexdigest()
        with contextlib.suppress(DamagedCheckpoint, OSError):
            tensors, _ = read_checkpoint(place)
            (place / MANIFEST).touch()  # used now
            self.found += 1
            return tensors["embeddings"], tensors["features"]
        embeddings, features = embed(table)
        self.made += 1
        with contextlib.suppress(OSError):
            write_checkpoint(place, {"embeddings": embeddings, "features": features}, {"made_from": text})
            self._clear(place)
        return embeddings, features

    def _clear(self, newest: Path) -> None:
        """Removes the entries that were not used for longest, until the others are small enough; the newest stays."""
        entries = []
        for manifest in self.folder.glob(f"*/{MANIFEST}"):
            with contextlib.suppress(OSError):  # another process may be clearing too
                size = sum(path.stat().st_size for path in manifest.parent.iterdir())
                entries.append((manifest.stat().st_mtime, size, manifest.parent))
        total = sum(size for _, size, _ in entries)
        for _, size, place in sorted(entries):
            if total <= self.largest:
                return
            if place != newest:
                shutil.rmtree(place, ignore_errors=True)
                total -= size
