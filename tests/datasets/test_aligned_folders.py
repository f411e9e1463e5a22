from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raycon.config import Data
from raycon.datasets import describe, load_tables
from raycon.datasets.aligned_folders import bffhq, colored_mnist, corrupted_cifar10
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture


def write_corrupted_cifar10(root: Path, percent: str = "1pct") -> Path:
    """Per class two aligned and one conflicting training image, a validation and a test image."""
    own = root / "cifar10c" / percent
    for label in range(10):
        other = (label + 3) % 10
        for number, (folder, cue) in enumerate(
            [("align", label), ("align", label), ("conflict", other), ("valid", label), ("../test", other)]
        ):
            write_picture(
                own / folder / str(label) / f"{number}_{label}_{cue}.png", 10 * label + number, width=4, height=4
            )
    return own


def write_bffhq(root: Path) -> Path:
    """Five aligned and one conflicting training face of each class, and each combination in validation and test."""
    folder, number = root / "bffhq", 0
    for label in range(2):
        for place in range(6):
            kind, cue = ("align", label) if place < 5 else ("conflict", 1 - label)
            write_picture(folder / "0.5pct" / kind / str(label) / f"{number}_{label}_{cue}.png", number)
            number += 1
    for part in ("valid", "test"):
        for label, cue in ((0, 0), (0, 1), (1, 0), (1, 1)):
            write_picture(folder / part / f"{number}_{label}_{cue}.png", number)
            number += 1
    return folder


def test_corrupted_cifar10_is_read_from_its_folders(data_root: Path) -> None:
    write_corrupted_cifar10(data_root)
    table = corrupted_cifar10("corrupted_cifar10_1pct", 4)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 30, "validation": 10, "test": 10}
    train, test = table.split("train"), table.split("test")
    assert torch.bincount(train.attributes["class"]).tolist() == [3] * 10
    assert torch.equal(
        train.attributes["aligned"], (train.attributes["class"] == train.attributes["corruption"]).long()
    )
    assert train.attributes["aligned"].tolist() == [1] * 20 + [0] * 10
    assert torch.equal(test.attributes["corruption"], (test.attributes["class"] + 3) % 10)


def test_each_percentage_is_a_set_of_its_own(data_root: Path) -> None:
    write_corrupted_cifar10(data_root, "5pct")
    assert len(corrupted_cifar10("corrupted_cifar10_5pct", 4)) == 50
    with pytest.raises(MissingData, match=r"lacks 0\.5pct/align, 0\.5pct/conflict"):
        corrupted_cifar10("corrupted_cifar10_0.5pct", 4)


def test_bffhq_reveals_gender_and_tells_conflicting_faces_apart(data_root: Path) -> None:
    write_bffhq(data_root)
    table = bffhq(8)
    assert table.split("test").attributes["aligned"].tolist() == [1, 0, 0, 1]
    assert torch.bincount(table.split("train").attributes["aligned"]).tolist() == [2, 10]
    data = Data(dataset="bffhq", size=8, reveal=("bias_labels",), groups=("class", "gender"))
    assert describe(data).attributes == {"class": 2, "gender": 2, "aligned": 2}
    assert len(load_tables(data, split_seed=0)["train"]) == 12


def test_without_official_validation_images_some_are_drawn(data_root: Path) -> None:
    own = write_corrupted_cifar10(data_root)
    (own / "valid").rename(own / "elsewhere")
    tables = load_tables(Data(dataset="corrupted_cifar10_1pct", size=4, validation_size=10), split_seed=0)
    assert (len(tables["train"]), len(tables["validation"])) == (20, 10)


def test_names_that_say_otherwise_are_refused(data_root: Path) -> None:
    own = write_corrupted_cifar10(data_root)
    first = own / "align" / "4" / "0_4_4.png"
    for name, words in (
        ("0_4_5.png", "is in 'align', but its name says otherwise"),
        ("0_4_10.png", "is not called <id>_<class>_<corruption>"),
        ("picture.png", "is not called"),
    ):
        changed = first.rename(first.with_name(name))
        with pytest.raises(InvalidFile, match=words) as caught:
            corrupted_cifar10("corrupted_cifar10_1pct", 4)
        assert caught.value.file == str(changed)
        changed.rename(first)


def test_colored_mnist_is_read_from_its_folders(data_root: Path) -> None:
    """Validation images stand in `valid` itself, as the public loader of Lee et al. 2021 wants them."""
    own = data_root / "cmnist" / "0.5pct"
    for label in range(10):
        other = (label + 1) % 10
        for number, (place, cue) in enumerate(
            [(f"align/{label}", label), (f"conflict/{label}", other), ("valid", other), (f"../test/{label}", other)]
        ):
            write_picture(own / place / f"{10 * label + number}_{label}_{cue}.png", 10 * label + number)
    table = colored_mnist("colored_mnist_0.5pct", 8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 20, "validation": 10, "test": 10}
    assert table.split("train").attributes["aligned"].tolist() == [1] * 10 + [0] * 10
    data = Data(dataset="colored_mnist_0.5pct", size=8, reveal=("bias_labels",))
    assert describe(data).revealed == ("bias_labels",) and len(load_tables(data, split_seed=0)["train"]) == 20
