"""The fakes have the columns that the authors' script writes, and those that their loader reads: the two differ.

Source: stratification/classification/datasets/isic_download.py and isic.py of HazyResearch/hidden-stratification.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from raycon.config import Data, Trial
from raycon.datasets import decoded, describe, load_tables
from raycon.datasets.card import data_card
from raycon.datasets.isic import isic
from raycon.datasets.mapped import MappedImages
from raycon.errors import InvalidFile, MissingData
from raycon.scores.probe import ProbeCache
from raycon.scores.subgroup_ranking import subgroup_ranking
from tests.datasets.pictures import write_picture

IMAGES = 40
LABELS = [int(number % 4 == 0) for number in range(IMAGES)]
PATCHES = [int(number % 4 in (1, 2)) for number in range(IMAGES)]
WRITTEN = (
    *("_id", "_modelType", "created", "creator._id", "creator.name", "dataset._accessLevel", "dataset._id"),
    *("dataset.description", "dataset.license", "dataset.name", "dataset.updated", "meta.acquisition.image_type"),
    *("meta.acquisition.pixelsX", "meta.acquisition.pixelsY", "meta.clinical.age_approx"),
    *("meta.clinical.anatom_site_general", "meta.clinical.benign_malignant", "meta.clinical.diagnosis"),
    *("meta.clinical.diagnosis_confirm_type", "meta.clinical.melanocytic", "meta.clinical.sex", "name"),
    *("notes.reviewed.accepted", "updated", "is_malignant", "split", "patch"),
)
"""The fields of the archive's answers, and the three columns that the script adds."""
PARTS = ["train"] * 28 + ["val"] * 6 + ["test"] * 6


def write_isic(root: Path) -> Path:
    """What isic_download.py leaves in its `processed` folder: every row of its raw metadata, and three columns more."""
    folder = root / "isic" / "processed"
    header = list(WRITTEN)
    rows = []
    for number in range(IMAGES):
        own = f"5436e3{number:018x}"
        write_picture(folder / "images" / f"{own}.jpg", number, width=16, height=16)
        values = {
            "_id": own,
            "dataset.name": "SONIC" if PATCHES[number] else "MSK-1",
            "meta.clinical.benign_malignant": "malignant" if LABELS[number] else "benign",
            "meta.clinical.diagnosis_confirm_type": "histopathology" if number % 3 == 0 else "",
            "name": f"ISIC_{number:07d}",
            "is_malignant": str(LABELS[number]),
            "split": PARTS[number],
            "patch": str(PATCHES[number]),
        }
        rows.append([values.get(column, "") for column in header])
    _write(folder / "labels.csv", header, rows)
    return folder


def write_isic_as_the_loader_wants_it(root: Path) -> Path:
    folder = root / "isic"
    header = ["Image Index", "benign_malignant", "Diagnosis", "diagnosis_confirm_type", "patch", "fold"]
    rows = [["odd.jpg", "indeterminate", "0", "", "0", "train"]]
    for number in range(IMAGES):
        write_picture(folder / "images" / f"ISIC_{number:07d}.jpg", number, width=16, height=16)
        verdict = "malignant" if LABELS[number] else "benign"
        confirmed = "histopathology" if number % 3 == 0 else "single image expert consensus"
        label, patch = str(LABELS[number]), f"{PATCHES[number]}.0"
        rows.append([f"ISIC_{number:07d}.jpg", verdict, label, confirmed, patch, PARTS[number]])
    _write(folder / "labels.csv", header, rows)
    return folder


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize("write", [write_isic, write_isic_as_the_loader_wants_it])
def test_the_table_holds_what_the_csv_says(data_root: Path, write: object) -> None:
    assert callable(write)
    write(data_root)
    table = isic(8)
    assert table.images.shape == (IMAGES, 3, 8, 8), "rows that are neither benign nor malignant are left out"
    assert table.attributes["class"].tolist() == LABELS
    assert table.attributes["patch"].tolist() == PATCHES
    assert table.attributes["histopathology"].tolist() == [int(number % 3 == 0) for number in range(IMAGES)]
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 28, "validation": 6, "test": 6}


def test_patches_are_the_cue_and_make_the_groups_of_the_published_score(data_root: Path) -> None:
    write_isic(data_root)
    data = Data(dataset="isic", size=8, groups=("class", "patch"), reveal=("bias_labels",))
    assert describe(data).revealed == ("bias_labels",)
    counts = data_card(data, split_seed=0).counts["train"]["class x patch"]
    assert counts["malignant + patch"] == 0 and counts["benign + patch"] > 0 and counts["malignant + no patch"] > 0
    test = load_tables(data, split_seed=0, splits=("train", "test"))["test"]
    groups, _ = test.product(data.groups)
    embeddings = torch.randn(len(test), 4, generator=torch.Generator().manual_seed(0))
    labels = test.attributes["class"]
    found = subgroup_ranking(embeddings, labels, embeddings, labels, groups, ProbeCache())
    assert {"group_0_area", "group_1_area"} <= set(found) and "group_2_area" not in found
    assert found["worst_area"] == min(found["group_0_area"], found["group_1_area"])
    assert Trial(data=data, objective={}).data.dataset == "isic"


def test_a_set_that_does_not_fit_stays_on_disk(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_isic(data_root)
    in_memory = isic(8).images
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    on_disk = isic(8).images
    assert isinstance(on_disk, MappedImages) and torch.equal(on_disk[:], in_memory[:])


def test_missing_and_wrong_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"isic/processed lacks labels\.csv, images.*isic_download\.py"):
        isic(8)
    folder = write_isic(data_root)
    table = folder / "labels.csv"
    whole = table.read_text()
    for text, words, line in (
        (whole.replace(",patch", ",sticker"), "no column 'patch'", 1),
        (whole.replace(",is_malignant", ",verdict"), "no column 'is_malignant' or 'Diagnosis'", 1),
        (whole.replace(",1,train,0", ",2,train,0", 1), "'is_malignant' is '2', not 0 or 1", 2),
        (whole.replace(",1,train,0", ",1,dev,0", 1), "'split' is 'dev', not train, val or test", 2),
        (whole.replace(",benign,", ",,").replace(",malignant,", ",,"), "no row that is benign or malignant", None),
    ):
        table.write_text(text)
        with pytest.raises(InvalidFile, match=words) as caught:
            isic(8)
        assert (caught.value.file, caught.value.line) == (str(table), line)
    table.write_text(whole)
    lost = next((folder / "images").iterdir())
    lost.unlink()
    with pytest.raises(InvalidFile) as caught:
        isic(8)
    assert caught.value.file == str(lost)
