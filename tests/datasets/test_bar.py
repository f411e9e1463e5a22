"""The fake has the files of https://github.com/alinlab/BAR, where vaulting is called `pole vaulting_0.jpg`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from raycon.config import Data
from raycon.datasets import load_tables
from raycon.datasets.bar import bar
from raycon.datasets.published import BAR
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture

NAMES = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")


def write_bar(root: Path) -> Path:
    """Four training and two test images a class; test images go on counting where the training ones end."""
    folder = root / "BAR"
    for label, name in enumerate(NAMES):
        for number in range(6):
            part = "train" if number < 4 else "test"
            write_picture(folder / part / f"{name}_{number}.jpg", 10 * label + number, width=12, height=9)
    (folder / "metadata.json").write_text(json.dumps({"climbing_0": {"cls": "climbing", "train": True}}))
    (folder / "README.md").write_text("# Biased Action Recognition Dataset\n")
    return folder


def test_classes_come_from_the_names_of_the_files(data_root: Path) -> None:
    write_bar(data_root)
    table = bar(8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 24, "test": 12}
    assert BAR.classes[5] == "vaulting"
    expected = [0] * 4 + [1] * 4 + [2] * 4 + [5] * 4 + [3] * 4 + [4] * 4
    assert table.split("train").attributes["class"].tolist() == expected
    assert torch.bincount(table.split("test").attributes["class"]).tolist() == [2] * 6
    tables = load_tables(Data(dataset="bar", size=8, validation_size=6), split_seed=0)
    assert (len(tables["train"]), len(tables["validation"])) == (18, 6)


def test_the_name_in_the_authors_table_is_taken_too(data_root: Path) -> None:
    folder = write_bar(data_root)
    for path in folder.rglob("pole vaulting_*"):
        path.rename(path.with_name(path.name.removeprefix("pole ")))
    assert torch.bincount(bar(8).attributes["class"]).tolist() == [6] * 6


def test_missing_and_wrong_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"BAR lacks train, test.*github\.com/alinlab/BAR"):
        bar(8)
    folder = write_bar(data_root)
    first = folder / "train" / "diving_2.jpg"
    for name in ("swimming_2.jpg", "diving.jpg", "diving_x.jpg"):
        changed = first.rename(first.with_name(name))
        with pytest.raises(InvalidFile, match="is not called <class>_<number>, with one of: climbing") as caught:
            bar(8)
        assert caught.value.file == str(changed)
        changed.rename(first)
    for path in (folder / "test").iterdir():
        path.unlink()
    with pytest.raises(InvalidFile, match="has no images"):
        bar(8)
