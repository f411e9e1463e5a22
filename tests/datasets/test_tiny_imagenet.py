from __future__ import annotations

from pathlib import Path

import pytest

from raycon.config import Data
from raycon.datasets import load_tables
from raycon.datasets.published import TINY_IMAGENET
from raycon.datasets.tiny_imagenet import tiny_imagenet
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture

CLASSES = TINY_IMAGENET.classes


def write_tiny_imagenet(root: Path) -> Path:
    """Two training images of each of the 200 classes, and validation images of the first ten in reversed order."""
    folder = root / "tiny-imagenet-200"
    for label, number in enumerate(CLASSES):
        for place in range(2):
            write_picture(
                folder / "train" / number / "images" / f"{number}_{place}.JPEG", 2 * label + place, width=4, height=4
            )
    lines = []
    for place in range(10):
        write_picture(folder / "val" / "images" / f"val_{place}.JPEG", 900 + place, width=4, height=4)
        lines.append(f"val_{place}.JPEG\t{CLASSES[9 - place]}\t0\t0\t3\t3\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


def test_training_folders_and_annotations_are_read(data_root: Path) -> None:
    from torchvision.datasets import ImageFolder

    folder = write_tiny_imagenet(data_root)
    table = tiny_imagenet(4)
    train = table.split("train").attributes["class"].tolist()
    assert train == ImageFolder(str(folder / "train")).targets
    assert table.split("test").attributes["class"].tolist() == list(range(9, -1, -1))


def test_the_coarse_groups_can_be_the_labels(data_root: Path) -> None:
    write_tiny_imagenet(data_root)
    data = Data(dataset="tiny_imagenet", size=4, coarse="groups", labels="coarse", validation_size=20)
    assert load_tables(data, split_seed=0)["train"].sizes == {"class": 200, "coarse": 52}


def test_missing_and_wrong_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"tiny-imagenet-200 lacks train, val/images.*zip"):
        tiny_imagenet(4)
    folder = write_tiny_imagenet(data_root)
    annotations = folder / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text() + "val_9.JPEG\tn99999999\n")
    with pytest.raises(InvalidFile, match="one of the 200 classes") as caught:
        tiny_imagenet(4)
    assert (caught.value.file, caught.value.line) == (str(annotations), 11)
    (folder / "train" / CLASSES[7]).rename(folder / "elsewhere")
    with pytest.raises(InvalidFile, match="not unpacked whole"):
        tiny_imagenet(4)
