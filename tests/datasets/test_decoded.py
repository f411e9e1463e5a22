from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raycon.datasets import decoded
from raycon.datasets.decoded import decoded_images, square
from raycon.datasets.mapped import MappedImages
from raycon.datasets.places import cache_folder
from raycon.errors import InvalidFile
from tests.datasets.pictures import picture, write_picture


@pytest.fixture
def paths(data_root: Path) -> list[Path]:
    """Seven pictures in PNG, which loses nothing."""
    found = [data_root / "pictures" / f"{number}.png" for number in range(7)]
    for number, path in enumerate(found):
        write_picture(path, number, width=8, height=8)
    return found


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No set fits into memory."""
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)


def expected(count: int) -> Tensor:
    return torch.stack([torch.from_numpy(picture(number).copy()).permute(2, 0, 1) for number in range(count)])


def caches() -> list[Path]:
    return [path for path in cache_folder().iterdir() if path.is_dir()]


def test_pictures_come_in_their_order(paths: list[Path]) -> None:
    images = decoded_images("some", paths, 8)
    assert isinstance(images, Tensor)
    assert torch.equal(images, expected(7))
    assert torch.equal(decoded_images("some", paths[::-1], 8)[:], expected(7).flip(0))


def test_only_the_first_call_decodes(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = decoded_images("some", paths, 8)
    monkeypatch.setattr(decoded, "square", None)
    assert torch.equal(decoded_images("some", paths, 8)[:], first[:])
    assert len(caches()) == 1


def test_a_file_that_changed_is_decoded_again(paths: list[Path]) -> None:
    decoded_images("some", paths, 8)
    write_picture(paths[3], 99)
    assert torch.equal(decoded_images("some", paths, 8)[3:4][0], torch.from_numpy(picture(99).copy()).permute(2, 0, 1))


def test_the_middle_square_is_taken_and_resampled_as_pillow_does(tmp_path: Path) -> None:
    for width, height in ((20, 11), (11, 20), (16, 16)):
        path = tmp_path / f"{width}.png"
        write_picture(path, 5, width=width, height=height)
        side, whole = min(width, height), Image.fromarray(picture(5, width=width, height=height))
        left, top = (width - side) // 2, (height - side) // 2
        cut = whole.crop((left, top, left + side, top + side)).resize((6, 6), Image.Resampling.BILINEAR)
        assert np.array_equal(square(path, 6), np.asarray(cut).transpose(2, 0, 1))


def test_grey_palette_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "1"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(picture(1)).convert(mode).save(path)
        assert square(path, 8).shape == (3, 8, 8)


def test_what_is_no_picture_is_named(paths: list[Path]) -> None:
    cases: list[tuple[str, Callable[[], object]]] = [
        ("cannot be read as an image", lambda: paths[2].write_text("text")),
        ("cannot be read as an image", lambda: paths[2].write_bytes(paths[0].read_bytes()[:60])),
        ("cannot be read", lambda: paths[2].unlink()),
    ]
    for words, spoil in cases:
        spoil()
        with pytest.raises(InvalidFile, match=words) as caught:
            decoded_images("some", paths, 8)
        assert caught.value.file == str(paths[2])
    assert not caches()


def test_a_full_disk_is_said_before_anything_is_written(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(InvalidFile, match=r"choose a smaller data\.size, or set RAYCON_CACHE") as caught:
        decoded_images("some", paths, 8)
    assert caught.value.field == "data.size"
    assert not caches()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_damaged_cache_is_refused(paths: list[Path], monkeypatch: pytest.MonkeyPatch, in_memory: bool) -> None:
    monkeypatch.setattr(decoded, "IN_MEMORY", 2**20 if in_memory else 0)
    decoded_images("some", paths, 8)
    pixels = caches()[0] / "pixels.u8"
    whole = pixels.read_bytes()
    for content in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:]):
        pixels.write_bytes(content)
        with pytest.raises(InvalidFile, match="is damaged; delete it") as caught:
            decoded_images("some", paths, 8)
        assert caught.value.file == str(caches()[0])


def test_two_at_a_time_decode_once(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def counted(path: Path, size: int) -> object:
        calls.append(path)
        return square(path, size)

    monkeypatch.setattr(decoded, "square", counted)
    threads = [threading.Thread(target=decoded_images, args=("some", paths, 8)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 7


@pytest.mark.usefixtures("on_disk")
def test_rows_on_disk_are_indexed_as_a_tensor_is(paths: list[Path]) -> None:
    images, tensor = decoded_images("some", paths, 8), expected(7)
    assert isinstance(images, MappedImages)
    assert (images.shape, images.dtype, images.dim(), len(images)) == (tensor.shape, tensor.dtype, 4, 7)
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(images[rows], tensor[rows])
    assert torch.equal(images[2:5], tensor[2:5])
    assert torch.equal(images[:], tensor)
    part = images.select(torch.tensor([6, 1, 3]))
    assert torch.equal(part[:], tensor[[6, 1, 3]])
    assert torch.equal(part.select(torch.tensor([2, 0]))[:], tensor[[3, 6]])
    assert torch.equal(part.contents, images.contents[[6, 1, 3]])
    assert len(set(images.contents.tolist())) == 7


@pytest.mark.usefixtures("on_disk")
def test_a_part_of_a_set_on_disk_reads_nothing_until_it_is_indexed(paths: list[Path]) -> None:
    images = decoded_images("some", paths, 8)
    assert isinstance(images, MappedImages)
    reads: list[int] = []

    class Watched(np.ndarray[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            reads.append(1)
            return super().__getitem__(key)

    images._pixels = images._pixels.view(Watched)
    part = images.to("cpu").select(torch.arange(5))
    assert (len(part), part.shape[0], len(part.contents), reads) == (5, 5, 5, [])
    assert len(part[torch.tensor([1])]) == 1 and reads
