"""Reads the idx format of the MNIST family, plain or gzipped, and says which file is broken and how."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raycon.datasets.info import DatasetInfo
from raycon.errors import InvalidFile

UINT8_CODE = 8
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Images and labels of each part of a set of the family; a file may end in `.gz`."""


def read_idx(path: Path, *, dimensions: int) -> Tensor:
    """The uint8 array of an idx file.

    The header is two zero bytes, the type code (8: uint8, the only one that is read), the number of dimensions, then
    each dimension as a big-endian 32-bit integer; the values follow. Source: LeCun, Cortes and Burges, The MNIST
    database. Raises InvalidFile, naming the path, for a file that cannot be read, a truncated or broken gzip stream,
    another magic number, or a length that the header does not promise.
    """
    content = _bytes(path)
    magic = bytes([0, 0, UINT8_CODE, dimensions])
    if content[:4] != magic:
        raise InvalidFile(f"magic number is {content[:4].hex()}, an idx file here has {magic.hex()}", file=str(path))
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise InvalidFile(f"ends inside its header, after {len(content)} bytes", file=str(path))
    shape = [int(size) for size in np.frombuffer(content, dtype=">u4", count=dimensions, offset=4)]
    promised = int(np.prod(shape, dtype=object))
    if len(content) - start != promised:
        shown = " x ".join(map(str, shape))
        raise InvalidFile(f"holds {len(content) - start} values, its header says {shown}", file=str(path))
    values = np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
    return torch.from_numpy(values.copy())


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidFile(f"is not a whole gzip file ({error})", file=str(path)) from error
    except OSError as error:
        raise InvalidFile(f"cannot be read ({error.strerror or error})", file=str(path)) from error


def read_part(image_file: Path, label_file: Path, info: DatasetInfo) -> tuple[Tensor, Tensor]:
    """Images uint8 [n, size, size] and labels int64 [n] of one part of a set of the family.

    Raises InvalidFile where they fit neither each other nor what `info` says.
    """
    images = read_idx(image_file, dimensions=3)
    labels = read_idx(label_file, dimensions=1).to(torch.int64)
    size, classes = info.size, len(info.classes)
    if images.shape[1:] != (size, size):
        shape = " x ".join(map(str, images.shape[1:]))
        raise InvalidFile(f"images are {shape} pixels, not {size} x {size}", file=str(image_file))
    if len(images) != len(labels):
        raise InvalidFile(f"{len(labels)} labels for {len(images)} images", file=str(label_file))
    if len(labels) and int(labels.max()) >= classes:
        raise InvalidFile(f"label {int(labels.max())} is beyond {classes - 1}", file=str(label_file))
    return images, labels
