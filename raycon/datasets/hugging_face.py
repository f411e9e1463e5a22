"""Images of a set in the format of Hugging Face's `datasets`, decoded once into the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from raycon.config import HuggingFace
from raycon.datasets.decoded import Pixels, decoded_rows, middle_square
from raycon.datasets.folder import held_out
from raycon.datasets.hugging_face_listing import FIELD, hugging_face_info, read_hugging_face
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile


def hugging_face_images(source: HuggingFace, size: int) -> ImageTable:
    """All rows of the chosen splits, uint8 [n, 3, size, size], cropped and resampled as `decoded_images` does.

    Attributes: `class`, and a column of integers for each of `source.attributes`. Where no test split is chosen, a
    fifth of the training images, stratified by class, is held out. Raises MissingData or InvalidFile.
    """
    listing, info = read_hugging_face(source), hugging_face_info(source)
    attributes = {name: torch.tensor(codes, dtype=torch.int64) for name, codes in listing.codes.items()}
    parts = [_encoded(part, source.image) for part in listing.parts.values()]
    ends = torch.tensor([len(part) for part in parts]).cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    splits = {name: torch.arange(start, end) for name, start, end in zip(listing.parts, starts, ends, strict=True)}
    if "test" not in splits:
        splits |= held_out(splits["train"], attributes["class"])

    def read(row: int) -> Pixels:
        number = next(number for number, end in enumerate(ends) if row < end)
        return _square(parts[number][row - starts[number]][source.image], size, f"row {row} of {source.path}")

    return ImageTable(
        images=decoded_rows("hugging_face", _key(listing.parts, source.image, size), ends[-1], size, read),
        attributes=attributes,
        sizes=dict(info.attributes),
        splits=splits,
        mean=info.mean,
        std=info.std,
    )


def _encoded(part: Any, column: str) -> Any:
    """The rows with their images as files have them: the library's own decoding would run one row at a time."""
    from datasets import Image

    return part.select_columns([column]).cast_column(column, Image(decode=False))


def _square(cell: Mapping[str, Any] | None, size: int, place: str) -> Pixels:
    if cell is None or (cell["bytes"] is None and cell["path"] is None):
        raise InvalidFile(f"{place} has no image", field=FIELD)
    try:
        return middle_square(Path(cell["path"]) if cell["bytes"] is None else BytesIO(cell["bytes"]), size)
    except FileNotFoundError:
        raise InvalidFile("is listed among the images but is not there", file=str(cell["path"])) from None
    except ValueError as error:
        raise InvalidFile(f"{place} {error}", field=FIELD) from error


def _key(parts: Mapping[str, Any], column: str, size: int) -> str:
    """Names rows and files: the library's fingerprint of each part covers its columns and what was done to them."""
    digest = hashlib.sha256(f"{size}/{column}\n".encode())
    for name, part in parts.items():
        digest.update(f"{name}\0{len(part)}\0{part._fingerprint}\n".encode())
        for file in part.cache_files:
            status = Path(file["filename"]).stat()
            digest.update(f"{file['filename']}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
