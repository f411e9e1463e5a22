from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from raycon.datasets import fashion_mnist as module
from raycon.datasets.catalogue import FASHION_MNIST
from raycon.datasets.fashion_mnist import fashion_mnist
from raycon.datasets.idx import read_idx
from raycon.datasets.places import RayconWarning
from raycon.errors import InvalidFile, MissingData
from tests.datasets.fakes import idx_bytes, write_fashion_mnist, write_idx

IMAGES = "train-images-idx3-ubyte.gz"
LABELS = "train-labels-idx1-ubyte.gz"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data anywhere, no network, an empty home; returns a folder to put data into."""
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAYCON_OFFLINE", "1")
    monkeypatch.delenv("RAYCON_DATA", raising=False)
    return tmp_path / "data"


@pytest.mark.parametrize("inside", [".", "fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_all_layouts_are_found(nowhere: Path, monkeypatch: pytest.MonkeyPatch, inside: str, suffix: str) -> None:
    write_fashion_mnist(nowhere / inside, suffix=suffix)
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    table = fashion_mnist()
    assert table.images.shape == (70, 1, 28, 28)
    assert table.images.dtype == torch.uint8
    assert table.attributes["class"].tolist() == [*[i % 10 for i in range(50)], *[i % 10 for i in range(20)]]
    assert table.splits["train"].tolist() == list(range(50))
    assert table.splits["test"].tolist() == list(range(50, 70))
    assert torch.equal(
        table.images[:50][:, 0], read_idx(nowhere / inside / f"train-images-idx3-ubyte{suffix}", dimensions=3)
    )


def test_the_named_folder_comes_before_the_system_folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fashion_mnist(nowhere.parent / "system", train=30)
    assert len(fashion_mnist().splits["train"]) == 30
    write_fashion_mnist(nowhere, train=40)
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    assert len(fashion_mnist().splits["train"]) == 40


def test_a_named_folder_that_is_passed_over_is_said(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fashion_mnist(nowhere.parent / "system", train=30)
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    with pytest.warns(RayconWarning, match=rf"no Fashion-MNIST in {nowhere}, .*; {module.SYSTEM_FOLDER} is used"):
        assert len(fashion_mnist().splits["train"]) == 30


def test_missing_data_say_every_place_and_how_to_get_them(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    write_idx(nowhere / "fashion-mnist" / IMAGES, np.zeros((1, 28, 28)))
    with pytest.raises(MissingData) as caught:
        fashion_mnist()
    text = str(caught.value)
    for place in module.places():
        assert str(place) in text
    assert "lacks t10k-images-idx3-ubyte" in text
    for words in ("dataset-fashion-mnist", "RAYCON_DATA", "RAYCON_OFFLINE=1"):
        assert words in text


def test_a_failed_download_is_missing_data(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def fail(root: str, download: bool) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.delenv("RAYCON_OFFLINE")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fail)
    with pytest.raises(MissingData, match="Error downloading train-images"):
        fashion_mnist()


def test_a_download_is_kept_and_found_again(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def fetch(root: str, download: bool) -> None:
        write_fashion_mnist(Path(root) / "FashionMNIST" / "raw", train=20)

    monkeypatch.delenv("RAYCON_OFFLINE")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fetch)
    assert len(fashion_mnist().splits["train"]) == 20
    kept = nowhere.parent / "home" / ".cache" / "raycon"
    assert [path.name for path in kept.iterdir()] == ["FashionMNIST"]
    monkeypatch.setenv("RAYCON_OFFLINE", "1")
    assert len(fashion_mnist().splits["train"]) == 20


def test_broken_files_are_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    write_fashion_mnist(nowhere)
    whole = (nowhere / IMAGES).read_bytes()
    images = gzip.decompress(whole)
    cases = {
        "not a whole gzip": whole[: len(whole) // 2],
        "not a whole gzip file": b"not gzip at all",
        "magic number is 00000801": gzip.compress(idx_bytes(np.zeros(5))),
        "its header says 50 x 28 x 28": gzip.compress(images[:-1]),
        "ends inside its header": gzip.compress(images[:9]),
        "images are 8 x 8 pixels": gzip.compress(idx_bytes(np.zeros((50, 8, 8)))),
    }
    for words, content in cases.items():
        (nowhere / IMAGES).write_bytes(content)
        with pytest.raises(InvalidFile, match=words) as caught:
            fashion_mnist()
        assert caught.value.file == str(nowhere / IMAGES)


def test_wrong_labels_are_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_DATA", str(nowhere))
    write_fashion_mnist(nowhere)
    for words, labels in {"49 labels for 50 images": np.zeros(49), "label 10 is beyond 9": np.full(50, 10)}.items():
        write_idx(nowhere / LABELS, labels)
        with pytest.raises(InvalidFile, match=words) as caught:
            fashion_mnist()
        assert caught.value.file == str(nowhere / LABELS)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_idx(tmp_path, dimensions=1)


def real() -> Path:
    """The folder of the real files, or a skip that says why."""
    found = next((place for place in module.places() if len(module._files_in(place)) == 4), None)
    if found is None:
        pytest.skip(f"Fashion-MNIST is in none of {', '.join(map(str, module.places()))}")
    return found


def test_the_real_files_match_the_catalogue() -> None:
    real()
    table = fashion_mnist()
    assert (len(table.splits["train"]), len(table.splits["test"])) == (60_000, 10_000)
    assert torch.bincount(table.split("train").attributes["class"]).tolist() == [6000] * 10
    train = table.split("train").images[:]
    levels = torch.bincount(train.flatten(), minlength=256).double() / train.numel()
    grey = torch.arange(256, dtype=torch.float64) / 255
    mean = float((levels * grey).sum())
    assert abs(mean - FASHION_MNIST.mean[0]) < 1e-4
    assert abs(float((levels * (grey - mean) ** 2).sum().sqrt()) - FASHION_MNIST.std[0]) < 1e-4


@pytest.mark.slow
def test_the_real_files_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    from torchvision.datasets import FashionMNIST

    folder = real()
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, path in module._files_in(folder).items():
        content = path.read_bytes()
        (raw / stem).write_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)
    table = fashion_mnist()
    for split in ("train", "test"):
        theirs = FashionMNIST(str(tmp_path), train=split == "train")
        assert torch.equal(table.split(split).images[:][:, 0], theirs.data)
        assert torch.equal(table.split(split).attributes["class"], theirs.targets)
        assert tuple(theirs.classes) == FASHION_MNIST.classes
