"""Fakes in the layout of ImageNet's archives, one folder a WordNet number; torchvision's ImageFolder reads them too."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from raycon.config import Data
from raycon.datasets import DATASETS, RayconWarning, decoded, describe, load_tables
from raycon.datasets.catalogue import coarse_classes
from raycon.datasets.class_names import IMAGENET9_CLASSES, IMAGENET9_NAMES, IMAGENET100_CLASSES
from raycon.datasets.imagenet import imagenet9, imagenet9_a, imagenet100, imagenet_lt, places_lt
from raycon.datasets.info import DatasetInfo
from raycon.datasets.loading import forget_tables
from raycon.datasets.mapped import MappedImages
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture

STRANGER = "n01440764"


def write_imagenet(root: Path, numbers: Iterable[str], *, train: int = 1, val: int = 1, copies: bool = False) -> Path:
    """`train/<number>/<number>_<k>.JPEG` and `val/<number>/ILSVRC2012_val_<k>.JPEG`, and a class that nobody wants.

    copies: all images are the same one, which is much faster to write.
    """
    folder, count = root / "imagenet", 0
    first = folder / f"train/{STRANGER}/{STRANGER}_0.JPEG"
    write_picture(first, 0, width=10, height=8)
    for number in sorted({*numbers, STRANGER}):
        names = [f"train/{number}/{number}_{k}.JPEG" for k in range(train)]
        names += [f"val/{number}/ILSVRC2012_val_{count + k:08d}.JPEG" for k in range(val)]
        for name in names:
            count += 1
            if copies:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(first.read_bytes())
            else:
                write_picture(folder / name, count, width=10, height=8)
    return folder


def write_textures(folder: Path) -> Path:
    """The table of ReBias: path, category and three clusters of every official validation image."""
    lines = ["path,category,cluster1,cluster2,cluster3"]
    for path in sorted((folder / "val").rglob("*.JPEG")):
        number = path.parent.name
        if number in IMAGENET9_CLASSES:
            label = IMAGENET9_CLASSES[number]
            clusters = f"{label},{(label + 1) % 9},{(label + 2) % 9}"
            lines.append(f"{number}/{path.name},{IMAGENET9_NAMES[label]},{clusters}")
    table = folder / "9class_imagenet_val.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_the_lists_are_whole() -> None:
    assert len(set(IMAGENET100_CLASSES)) == 100 and list(IMAGENET100_CLASSES) == sorted(IMAGENET100_CLASSES)
    sizes = torch.bincount(torch.tensor(list(IMAGENET9_CLASSES.values()))).tolist()
    # How many of the 1000 the authors' ranges give for dog, cat, frog, turtle, bird, monkey, fish, crab, insect.
    assert sizes == [5, 5, 3, 5, 5, 5, 5, 4, 5]


def test_imagenet100_is_read_as_torchvision_reads_the_folders(data_root: Path) -> None:
    from torchvision.datasets import ImageFolder

    folder = write_imagenet(data_root, IMAGENET100_CLASSES, copies=True)
    table = imagenet100(8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 100, "test": 100}
    for split, part in (("train", "train"), ("test", "val")):
        theirs = ImageFolder(str(folder / part))
        expected = [IMAGENET100_CLASSES.index(theirs.classes[t]) for t in theirs.targets if t != 0]
        assert theirs.classes[0] == STRANGER
        assert table.split(split).attributes["class"].tolist() == expected


def test_nine_classes_hold_forty_two_and_the_textures_of_the_test_images(data_root: Path) -> None:
    folder = write_imagenet(data_root, IMAGENET9_CLASSES)
    write_textures(folder)
    table = imagenet9(8)
    train, test = table.split("train"), table.split("test")
    assert (len(train), len(test)) == (42, 42)
    assert torch.bincount(test.attributes["class"]).tolist() == [5, 5, 3, 5, 5, 5, 5, 4, 5]
    assert torch.equal(test.attributes["wordnet"], torch.arange(42))
    for number in (1, 2, 3):
        assert torch.equal(test.attributes[f"texture{number}"], (test.attributes["class"] + number - 1) % 9)
        assert set(train.attributes[f"texture{number}"].tolist()) == {9}
    names = DATASETS["imagenet9"].values
    assert names["texture1"][9] == "not known" and names["wordnet"][0] == min(IMAGENET9_CLASSES)
    data = Data(dataset="imagenet9", size=8, groups=("class", "texture1"))
    assert describe(data).attributes["texture1"] == 10
    assert len(load_tables(data, split_seed=0, splits=("train", "test"))["test"]) == 42


def test_without_the_table_of_textures_a_warning_says_where_it_is(data_root: Path) -> None:
    folder = write_imagenet(data_root, IMAGENET9_CLASSES, copies=True)
    with pytest.warns(RayconWarning, match=r"9class_imagenet_val\.csv, from clusters/ of .*rebias"):
        table = imagenet9(8)
    assert set(table.attributes["texture2"].tolist()) == {9}
    path = write_textures(folder)
    path.write_text(path.read_text().replace(",frog,2,", ",frog,9,", 1))
    with pytest.raises(InvalidFile, match="cluster1 to cluster3, numbers below 9") as caught:
        imagenet9(8)
    assert (caught.value.file, caught.value.line) == (str(path), 2)


def test_imagenet_a_is_tested_on_in_the_same_classes(data_root: Path) -> None:
    write_imagenet(data_root, IMAGENET9_CLASSES, val=0, copies=True)
    with pytest.raises(MissingData, match=r"no .*imagenet/imagenet-a, .*imagenet-a\.tar"):
        imagenet9_a(8)
    # Of ImageNet-A's 200 folders two are wanted here; the others are passed over.
    for k, number in enumerate((*sorted(IMAGENET9_CLASSES)[:2], STRANGER)):
        write_picture(data_root / "imagenet-a" / number / f"0.00{k}_fox squirrel _ fox squirrel_0.9.jpg", 900 + k)
    (data_root / "imagenet-a" / "README.txt").write_text("n01443537 goldfish\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = imagenet9_a(8)
    assert (len(table.splits["train"]), len(table.splits["test"])) == (42, 2)
    assert table.split("test").attributes["class"].tolist() == [2, 2]
    assert coarse_classes(DATASETS["imagenet9_a"], {label: label % 2 for label in range(9)})[:2] == (0, 1)


def test_a_missing_class_is_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"imagenet lacks train, val.*one folder a WordNet number"):
        imagenet100(8)
    write_imagenet(data_root, IMAGENET100_CLASSES[:-1], copies=True)
    with pytest.raises(MissingData, match=rf"there is no .*train/{IMAGENET100_CLASSES[-1]}"):
        imagenet100(8)


def write_imagenet_lt(data_root: Path, *, place: str = "imagenet") -> Path:
    """Three classes with 6, 3 and 1 training images; val lines are training images, test lines validation images."""
    numbers = ("n01440764", "n01443537", "n01484850")
    folder = write_imagenet(data_root, numbers, train=8, val=2)
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, number in enumerate(numbers):
        train = [f"train/{number}/{number}_{k}.JPEG {label}" for k in range(8)]
        lines["train"] += train[: (6, 3, 1)[label]]
        lines["val"] += train[6:]
        found = sorted((folder / "val" / number).iterdir())
        lines["test"] += [f"val/{number}/{path.name} {label}" for path in found]
    (data_root / place).mkdir(exist_ok=True)
    for part, own in lines.items():
        (data_root / place / f"ImageNet_LT_{part}.txt").write_text("\n".join(own) + "\n")
    return folder


@pytest.fixture
def three_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real lists have 1000 classes; a class without images is refused when splits are made."""
    from dataclasses import replace

    from raycon.datasets import imagenet

    small: DatasetInfo = replace(DATASETS["imagenet_lt"], classes=("a", "b", "c"), attributes={"class": 3})
    monkeypatch.setattr(imagenet, "IMAGENET_LT", small)
    monkeypatch.setitem(DATASETS, "imagenet_lt", small)


@pytest.mark.parametrize("place", ["imagenet", "ImageNet_LT"])
@pytest.mark.usefixtures("three_classes")
def test_lists_choose_the_images_of_the_long_tail(data_root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_imagenet_lt(data_root, place=place)
    table = imagenet_lt(8)
    counts = {split: torch.bincount(table.split(split).attributes["class"]).tolist() for split in table.splits}
    assert counts == {"train": [6, 3, 1], "validation": [2, 2, 2], "test": [2, 2, 2]}
    pixels = decoded.square(folder / "train/n01443537/n01443537_0.JPEG", 8)
    assert torch.equal(table.images[torch.tensor([6])][0], torch.from_numpy(pixels.copy()))
    data = Data(dataset="imagenet_lt", size=8)
    assert len(load_tables(data, split_seed=0)["train"]) == 10
    forget_tables()
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    part = load_tables(data, split_seed=0)["train"]
    assert isinstance(part.images, MappedImages) and torch.equal(part.images[:], table.images[:10])


@pytest.mark.usefixtures("three_classes")
def test_wrong_lists_are_named(data_root: Path) -> None:
    write_imagenet(data_root, ())
    with pytest.raises(MissingData, match=r"ImageNet_LT lacks ImageNet_LT_train\.txt, .*classifier-balancing"):
        imagenet_lt(8)
    folder = write_imagenet_lt(data_root)
    path = folder / "ImageNet_LT_train.txt"
    whole = path.read_text()
    for text, words, line in (
        (whole.replace("_0.JPEG 0", "_0.JPEG"), "is not a path and the number of a class", 1),
        (whole.replace("_1.JPEG 0", "_0.JPEG 0"), "stands in an earlier line too", 2),
        (whole.replace("_0.JPEG 0", "_0.JPEG 7"), "has class 7, not one of 0 to 2", None),
        (whole.replace("n01443537_1.JPEG 1", "n01443537_1.JPEG 2"), "has class 2, which is that of the folder", None),
        ("\n", "has no line", None),
    ):
        path.write_text(text)
        with pytest.raises(InvalidFile, match=words) as caught:
            imagenet_lt(8)
        # A class that belongs to another folder may be found in any of the lists.
        assert caught.value.file is not None and caught.value.line == line
    path.write_text(whole.replace("n01440764_3", "n01440764_99"))
    with pytest.raises(InvalidFile) as caught:
        imagenet_lt(8)
    assert caught.value.file == str(folder / "train/n01440764/n01440764_99.JPEG")


def test_places_are_listed_in_the_same_way(data_root: Path) -> None:
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("airfield", "airplane_cabin")):
        for k, part in enumerate(("train", "train", "val", "test")):
            image = f"val/{name}/Places365_val_{k:08d}.jpg" if part == "test" else f"train/{name}/{k:08d}.jpg"
            write_picture(data_root / "places365" / image, 10 * label + k)
            lines[part].append(f"{image} {label}")
    for part, own in lines.items():
        (data_root / "places365" / f"Places_LT_{part}.txt").write_text("\n".join(own) + "\n")
    table = places_lt(8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 4, "validation": 2, "test": 2}
    assert table.sizes == {"class": 365}
    assert table.split("train").attributes["class"].tolist() == [0, 0, 1, 1]
