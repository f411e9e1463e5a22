from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from raycon.config import Data
from raycon.datasets import load_tables
from raycon.datasets.cifar import cifar10, cifar100, read_pickle
from raycon.datasets.published import CIFAR10, CIFAR100
from raycon.errors import InvalidFile, MissingData


def store(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def write_cifar10(root: Path) -> Path:
    """Five training batches of 10 images and a test batch of 20, in the layout of cifar-10-python.tar.gz."""
    folder = root / "cifar-10-batches-py"
    for number in range(1, 6):
        labels = [(number + place) % 10 for place in range(10)]
        store(folder / f"data_batch_{number}", {"data": pixels(10, number), "labels": labels, "batch_label": "x"})
    store(folder / "test_batch", {"data": pixels(20, 9), "labels": [place % 10 for place in range(20)]})
    store(folder / "batches.meta", {"label_names": list(CIFAR10.classes), "num_vis": 3072})
    return folder


def write_cifar100(root: Path) -> Path:
    """200 training and 100 test images in the layout of cifar-100-python.tar.gz."""
    folder, of = root / "cifar-100-python", CIFAR100.coarse["superclasses"].of
    for name, count in (("train", 200), ("test", 100)):
        fine = [place % 100 for place in range(count)]
        coarse = [of[label] for label in fine]
        store(folder / name, {"data": pixels(count, count), "fine_labels": fine, "coarse_labels": coarse})
    names = {
        "fine_label_names": list(CIFAR100.classes),
        "coarse_label_names": list(CIFAR100.coarse["superclasses"].names),
    }
    store(folder / "meta", names)
    return folder


def test_cifar10_is_read_as_torchvision_reads_it(data_root: Path) -> None:
    from torchvision import datasets

    class Unchecked(datasets.CIFAR10):  # type: ignore[misc]  # torchvision has no types; the fake has other checksums
        meta: ClassVar[dict[str, Any]] = {**datasets.CIFAR10.meta, "md5": None}

        def _check_integrity(self) -> bool:
            return True

    write_cifar10(data_root)
    table = cifar10()
    for split in ("train", "test"):
        theirs, ours = Unchecked(str(data_root), train=split == "train"), table.split(split)
        assert torch.equal(ours.images[:], torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
        assert ours.attributes["class"].tolist() == theirs.targets
        assert tuple(theirs.classes) == CIFAR10.classes


def test_cifar100_is_read_as_torchvision_reads_it(data_root: Path) -> None:
    from torchvision import datasets

    class Unchecked(datasets.CIFAR100):  # type: ignore[misc]  # as above
        meta: ClassVar[dict[str, Any]] = {**datasets.CIFAR100.meta, "md5": None}

        def _check_integrity(self) -> bool:
            return True

    write_cifar100(data_root)
    table = cifar100()
    for split in ("train", "test"):
        theirs, ours = Unchecked(str(data_root), train=split == "train"), table.split(split)
        assert torch.equal(ours.images[:], torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
        assert ours.attributes["class"].tolist() == theirs.targets
        assert tuple(theirs.classes) == CIFAR100.classes


def test_the_folder_itself_may_be_named(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_DATA", str(write_cifar10(data_root)))
    assert len(cifar10()) == 70


def test_coarse_labels_are_the_superclasses(data_root: Path) -> None:
    write_cifar100(data_root)
    data = Data(dataset="cifar100", coarse="superclasses", labels="coarse", validation_size=100)
    table = load_tables(data, split_seed=0, splits=("test",))["test"]
    assert table.sizes == {"class": 100, "coarse": 20}
    assert table.attributes["coarse"].tolist() == list(CIFAR100.coarse["superclasses"].of)


def test_missing_files_are_named_with_the_way_to_get_them(data_root: Path) -> None:
    (write_cifar10(data_root) / "data_batch_3").unlink()
    with pytest.raises(
        MissingData, match=r"cifar-10-batches-py lacks data_batch_3.*cifar-10-python\.tar\.gz"
    ) as caught:
        cifar10()
    assert str(data_root) in str(caught.value)
    with pytest.raises(MissingData, match="cifar-100-python lacks train, test, meta"):
        cifar100()


def test_wrong_contents_are_named(data_root: Path) -> None:
    folder = write_cifar10(data_root)
    good = read_pickle(folder / "data_batch_2")
    cases: dict[str, dict[str, Any]] = {
        "is not uint8": {"data": pixels(10, 0)[:, :3000]},
        "9 labels for 10 images": {"labels": list(range(9))},
        "labels run from 0 to 10": {"labels": [*range(9), 10]},
        "'labels' is no list": {"labels": "abc"},
    }
    for words, change in cases.items():
        store(folder / "data_batch_2", {**good, **change})
        with pytest.raises(InvalidFile, match=words) as caught:
            cifar10()
        assert caught.value.file == str(folder / "data_batch_2")
    store(folder / "batches.meta", {"label_names": list(reversed(CIFAR10.classes))})
    with pytest.raises(InvalidFile, match="not the 10 published ones"):
        cifar10()


def test_other_superclasses_are_refused(data_root: Path) -> None:
    folder = write_cifar100(data_root)
    batch = dict(read_pickle(folder / "train"))
    batch["coarse_labels"][0] = 19
    store(folder / "train", batch)
    with pytest.raises(InvalidFile, match="not the published superclasses"):
        cifar100()


class Harmful:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    store(tmp_path / "harmful", {"data": Harmful(tmp_path / "ran")})
    with pytest.raises(InvalidFile, match="has no place in a data set"):
        read_pickle(tmp_path / "harmful")
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "harmful").read_bytes())
    assert (tmp_path / "ran").exists()


def test_what_is_no_pickle_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a pickle")
    store(tmp_path / "list", [1, 2])
    for name, words in (("text", "no pickle of arrays"), ("list", "no dictionary"), ("none", "cannot be read")):
        with pytest.raises(InvalidFile, match=words) as caught:
            read_pickle(tmp_path / name)
        assert caught.value.file == str(tmp_path / name)


def test_the_names_of_the_published_files_are_understood(tmp_path: Path) -> None:
    """They were pickled when numpy's arrays were made by `numpy.core.multiarray`, with text for bytes."""
    modern = pickle.dumps({"data": pixels(2, 0)}, protocol=2)
    (tmp_path / "old").write_bytes(modern.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    assert np.array_equal(read_pickle(tmp_path / "old")["data"], pixels(2, 0))
