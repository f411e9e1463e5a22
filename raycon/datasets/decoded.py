"""Image files decoded once: a uint8 file on disk that later processes map into memory instead of decoding again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from raycon.datasets.mapped import MappedImages
from raycon.datasets.places import cache_folder
from raycon.errors import InvalidFile

FORMAT = 1
IN_MEMORY = 2**29
"""Sets of up to this many bytes are read into memory; larger ones stay on disk."""
CHUNK = 512
CHECKED_ROWS = 64
MANY = 20_000

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def decoded_images(name: str, paths: Sequence[Path], size: int) -> Tensor | MappedImages:
    """The images of `paths` in their order, uint8 [n, 3, size, size]: the middle square of each, in RGB, resampled
    (bilinear with antialiasing) to `size`. Orientation tags are not applied, as in torchvision.

    They are decoded once into `<cache>/<name>-<key>`, where the cache is `RAYCON_CACHE` or `~/.cache/raycon/decoded`,
    and the key covers size, paths, and every file's length and time of change. One process decodes while others wait.
    What is read later is compared with checksums: of all images if they fit into memory, else of a sample.

    Raises InvalidFile for a file that is no image, a disk without room, or a damaged cache.
    """
    return decoded_rows(name, _key(paths, size), len(paths), size, lambda row: square(paths[row], size))


def decoded_rows(name: str, key: str, count: int, size: int, read: Callable[[int], Pixels]) -> Tensor | MappedImages:
    """As `decoded_images`, of images that have no files of their own: `read(row)` gives row 0 to `count` - 1 as uint8
    [3, size, size], in several threads at a time; `key` changes whenever an image does."""
    folder = cache_folder() / f"{name}-{key}"
    shape = (count, 3, size, size)
    with _locked(folder):
        if not (folder / "done.json").exists():
            _decode(name, read, shape, folder)
    return _open(folder, shape)


def square(path: Path, size: int) -> Pixels:
    """One decoded image, [3, size, size]."""
    try:
        return middle_square(path, size)
    except FileNotFoundError:
        raise InvalidFile("is listed among the images but is not there", file=str(path)) from None
    except ValueError as error:
        raise InvalidFile(str(error), file=str(path)) from error


def middle_square(source: Path | IO[bytes], size: int) -> Pixels:
    """The middle square of an image file, in RGB, [3, size, size]. Raises ValueError for what is no image."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            picture = image.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be read as an image ({error})") from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    # Cropped first: resampling with a box would mix in what lies beyond its edges.
    middle = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(middle, dtype=np.uint8).transpose(2, 0, 1)


def _key(paths: Sequence[Path], size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT}/{size}/{len(paths)}\n".encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise InvalidFile(f"cannot be read ({error.strerror or error})", file=str(path)) from error
        digest.update(f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Others wait here while one decodes. The lock ends with its process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _decode(name: str, read: Callable[[int], Pixels], shape: tuple[int, ...], folder: Path) -> None:
    """Writes into a folder beside the final one, and renames: nobody ever meets half a file."""
    needed, free = int(np.prod(shape)), shutil.disk_usage(folder.parent).free
    if needed + 8 * shape[0] > free:
        reason = (
            f"{name} decoded at {shape[-1]} pixels takes {needed / 1e9:.1f} GB, {folder.parent} has {free / 1e9:.1f}"
        )
        raise InvalidFile(f"{reason}; choose a smaller data.size, or set RAYCON_CACHE", field="data.size")
    if shape[0] >= MANY:
        logging.getLogger(__name__).warning("decoding %d images of %s once into %s", shape[0], name, folder)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        digests = []
        with (scratch / "pixels.u8").open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, shape[0], CHUNK):
                chunk = list(pool.map(read, range(start, min(start + CHUNK, shape[0]))))
                digests += [_write(file, image) for image in chunk]
            file.flush()
            os.fsync(file.fileno())
        np.save(scratch / "digests.npy", np.array(digests, dtype=np.int64))
        (scratch / "done.json").write_text(json.dumps({"format": FORMAT, "name": name, "shape": shape}))
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(file: IO[bytes], image: Pixels) -> int:
    content = np.ascontiguousarray(image).tobytes()
    file.write(content)
    return image_digest(content)


def image_digest(content: bytes) -> int:
    """63 bits: two different images among a million share a number with a probability of 1 to 20 million."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


def _open(folder: Path, shape: tuple[int, ...]) -> Tensor | MappedImages:
    damaged = InvalidFile("is damaged; delete it, and its images are decoded again", file=str(folder))
    try:
        digests = np.load(folder / "digests.npy", allow_pickle=False)
        whole = len(digests) == shape[0] and (folder / "pixels.u8").stat().st_size == int(np.prod(shape))
    except (OSError, ValueError) as error:
        raise damaged from error
    if not whole:
        raise damaged
    pixels: Pixels = np.memmap(folder / "pixels.u8", dtype=np.uint8, mode="r", shape=shape)
    in_memory = pixels.nbytes <= IN_MEMORY
    checked = range(shape[0]) if in_memory else range(0, shape[0], max(shape[0] // CHECKED_ROWS, 1))
    if any(image_digest(pixels[row].tobytes()) != digests[row] for row in checked):
        raise damaged
    if in_memory:
        return torch.from_numpy(np.array(pixels))
    return MappedImages(pixels, torch.from_numpy(digests), torch.arange(shape[0]))
