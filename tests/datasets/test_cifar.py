from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from raycon.config import Data
from raycon.datasets import load_tables
from raycon.datasets.cifar import cifar10, cifar100, cifar_lt, long_tailed_rows, read_pickle
from raycon.datasets.published import CIFAR10, CIFAR100, CIFAR_LT
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


def rows_by_the_public_code(labels: list[int], imbalance: float) -> list[list[int]]:
    """The rows of each class, in the order in which imbalance_cifar.py of kaidic/LDAM-DRW appends them."""
    classes = sorted(set(labels))
    state = np.random.get_state()
    np.random.seed(0)
    kept = []
    for label in classes:
        count = int(len(labels) / len(classes) * imbalance ** (label / (len(classes) - 1.0)))
        own = np.array([row for row, value in enumerate(labels) if value == label])
        np.random.shuffle(own)
        kept.append(own[:count].tolist())
    np.random.set_state(state)
    return kept


@pytest.mark.parametrize(
    ("classes", "imbalance", "total", "smallest"),
    [
        *((10, 100, 12_406, 50), (10, 50, 13_996, 100), (10, 10, 20_431, 500)),
        *((100, 100, 10_847, 5), (100, 50, 12_608, 10), (100, 10, 19_573, 50)),
    ],
)
def test_the_long_tail_is_the_draw_of_the_public_code(classes: int, imbalance: int, total: int, smallest: int) -> None:
    labels = np.random.default_rng(1).permutation(np.arange(50_000) % classes)
    rows = long_tailed_rows(labels, 1 / imbalance)
    assert len(rows) == total and np.bincount(labels[rows]).min() == smallest
    assert rows.tolist() == sorted(
        row for own in rows_by_the_public_code(labels.tolist(), 1 / imbalance) for row in own
    )


def test_long_tailed_cifar_keeps_all_test_images(data_root: Path) -> None:
    folder = data_root / "cifar-10-batches-py"
    write_cifar10(data_root)
    for number in range(1, 6):
        content = {"data": pixels(40, number), "labels": [(number + place) % 10 for place in range(40)]}
        store(folder / f"data_batch_{number}", content)
    whole, table = cifar10(), cifar_lt("cifar10_lt_10")
    kept = [int(20 * 0.1 ** (label / 9)) for label in range(10)]
    assert torch.bincount(table.split("train").attributes["class"]).tolist() == kept
    rows = torch.from_numpy(long_tailed_rows(whole.attributes["class"][:200].numpy(), 0.1))
    assert torch.equal(table.split("train").images[:], whole.images[rows])
    assert torch.equal(table.split("test").images[:], whole.split("test").images[:])
    tables = load_tables(Data(dataset="cifar10_lt_10", validation_size=20), split_seed=0)
    assert len(tables["train"]) == sum(kept) - 20
    assert len(CIFAR_LT) == 6
