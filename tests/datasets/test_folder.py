from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raycon.config import Bias, Data, Folder, Seeds, Training, Trial
from raycon.datasets import decoded, describe, load_tables
from raycon.datasets.folder import folder_images
from raycon.datasets.folder_listing import read_listing
from raycon.datasets.loading import forget_tables
from raycon.datasets.mapped import MappedImages
from raycon.errors import InvalidFile, MissingData
from raycon.training import train_here
from tests.datasets.pictures import write_picture

COLUMNS = Folder(path="birds", image="file", label="species", split="part", attributes=("family", "site"))
SPECIES = ("wren", "owl", "10", "9")


def write_folder(root: Path, *, count: int = 48, split: bool = True) -> Path:
    """Four species of two families at three sites; the first three quarters train."""
    lines = ["file,species,part,family,site"]
    for number in range(count):
        name = f"pictures/{number}.png"
        write_picture(root / "birds" / name, number, width=10, height=8)
        part = "train" if number < 0.75 * count else "val" if number < 0.85 * count else "test"
        lines.append(f"{name},{SPECIES[number % 4]},{part if split else ''},{number % 2},{number % 3 + 9}")
    csv = root / "birds" / "metadata.csv"
    csv.write_text("\n".join(lines) + "\n")
    return csv


def test_columns_become_attributes(data_root: Path) -> None:
    write_folder(data_root)
    listing = read_listing(COLUMNS)
    assert listing.names == {"class": ("10", "9", "owl", "wren"), "family": ("0", "1"), "site": ("9", "10", "11")}
    table = folder_images(COLUMNS, 8)
    assert table.images.shape == (48, 3, 8, 8)
    assert table.attributes["class"].tolist() == [(3, 2, 0, 1)[number % 4] for number in range(48)]
    assert table.attributes["site"].tolist() == [number % 3 for number in range(48)]
    assert all(values.dtype == torch.int64 for values in table.attributes.values())
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 36, "validation": 5, "test": 7}


def test_describe_knows_it_all_from_the_csv(data_root: Path) -> None:
    write_folder(data_root)
    data = Data(
        dataset="folder",
        folder=COLUMNS,
        size=16,
        labels="family",
        groups=("family", "site"),
        bias_labels="site",
        reveal=("bias_labels", "groups"),
    )
    described = describe(data)
    assert (described.channels, described.size) == (3, 16)
    assert described.attributes == {"class": 4, "family": 2, "site": 3}
    tables = load_tables(data, split_seed=0, splits=("train", "validation", "test"))
    assert tables["train"].images.shape[1:] == (3, 16, 16)
    assert dict(tables["train"].sizes) == described.attributes


def test_a_column_that_the_label_decides_is_a_coarse_map(data_root: Path) -> None:
    write_folder(data_root)
    data = Data(dataset="folder", folder=COLUMNS, size=8, coarse="family", labels="coarse")
    assert describe(data).attributes == {"class": 4, "family": 2, "site": 3, "coarse": 2}
    train = load_tables(data, split_seed=0)["train"].attributes
    assert torch.equal(train["coarse"], train["family"])
    with pytest.raises(InvalidFile, match="'site' is no coarse map: its values differ within a class"):
        describe(Data(dataset="folder", folder=COLUMNS, coarse="site"))


def test_without_splits_a_fifth_is_held_out_for_good(data_root: Path) -> None:
    write_folder(data_root, split=False)
    folder = Folder(path="birds", image="file", label="species", split=None)
    first, second = (folder_images(folder, 8).splits["test"].tolist() for _ in range(2))
    assert first == second
    assert len(first) == 10
    counts = torch.bincount(folder_images(folder, 8).attributes["class"][first])
    assert int(counts.max() - counts.min()) <= 1


def test_the_path_may_be_absolute(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = write_folder(data_root)
    monkeypatch.delenv("RAYCON_DATA")
    folder = Folder(path=str(csv.parent), image="file", label="species", split="part")
    assert len(read_listing(folder).paths) == 48


def test_a_changed_csv_is_read_anew(data_root: Path) -> None:
    csv = write_folder(data_root)
    data = Data(dataset="folder", folder=COLUMNS, size=8)
    assert len(load_tables(data, split_seed=0)["train"]) == 36
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[0], *lines[3:]]) + "\n")
    assert len(load_tables(data, split_seed=0)["train"]) == 34


def test_a_missing_folder_says_what_is_looked_for(data_root: Path) -> None:
    with pytest.raises(
        MissingData, match=r"there is no .*birds/metadata\.csv.*columns file, species, part, family, site"
    ):
        describe(Data(dataset="folder", folder=COLUMNS))


@pytest.mark.parametrize(
    ("old", "new", "words", "place"),
    [
        (
            "species,part",
            "specie,part",
            r"no column 'species' \(did you mean 'specie'\?\); it has: file",
            "data.folder.label",
        ),
        ("family", "kin", "no column 'family'", "data.folder.attributes"),
        ("0.png,wren", "0.png,", "'species' is empty", 2),
        ("s/1.png,owl,train", "s/1.png,owl,tarin", r"no split 'tarin' \(did you mean 'train'\?\)", 3),
        ("s/2.png", "s/0.png", "stands in line 2 too", 4),
        ("test", "train", "no line with the split 'test'", "data.folder.split"),
    ],
)
def test_wrong_tables_are_answered_with_the_place(
    data_root: Path, old: str, new: str, words: str, place: object
) -> None:
    csv = write_folder(data_root)
    csv.write_text(csv.read_text().replace(old, new))
    with pytest.raises(InvalidFile, match=words) as caught:
        describe(Data(dataset="folder", folder=COLUMNS))
    assert place in (caught.value.field, caught.value.line)
    assert str(csv) in str(caught.value)


def test_one_label_alone_and_taken_names_are_refused(data_root: Path) -> None:
    csv = write_folder(data_root)
    for folder, words in (
        (Folder(path="birds", image="file", label="one", split="part"), "'one' has 1 value"),
        (Folder(path="birds", image="file", label="species", split="part", attributes=("class",)), "raycon's own"),
    ):
        csv.write_text(
            "\n".join(f"{line},{'one' if n == 0 else 'a'}" for n, line in enumerate(csv.read_text().splitlines()))
        )
        with pytest.raises(InvalidFile, match=words):
            read_listing(folder)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (Data(dataset="folder"), "data.folder"),
        (Data(dataset="digits", folder=COLUMNS), "data.folder"),
        (Data(dataset="folder", folder=COLUMNS, bias=Bias()), "data.bias"),
        (Data(dataset="folder", folder=COLUMNS, reveal=("bias_labels",)), "data.reveal"),
        (Data(dataset="folder", folder=COLUMNS, bias_labels="place"), "data.bias_labels"),
        (Data(dataset="folder", folder=COLUMNS, bias_labels="class", reveal=("bias_labels",)), "data.bias_labels"),
    ],
)
def test_what_does_not_fit_a_folder_is_refused(data_root: Path, data: Data, field: str) -> None:
    write_folder(data_root)
    with pytest.raises(InvalidFile) as caught:
        describe(data)
    assert caught.value.field == field


def final_metrics(data: Data) -> dict[str, float]:
    trial = Trial(
        data=data,
        objective={"supcon": {"term": "supcon", "weight": 1.0}, "fairkl": {"term": "fairkl", "weight": 1.0}},
        training=Training(epochs=2, batch_size=12, precision="float64"),
        seeds=Seeds(split=1, init=1, order=1),
    )
    last = list(train_here(trial))[-1]
    return {name: value for name, value in last.metrics.items() if "speed" not in name}


def test_training_from_disk_equals_training_from_memory(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(data_root)
    data = Data(dataset="folder", folder=COLUMNS, size=8, bias_labels="site", reveal=("bias_labels",))
    from_memory = final_metrics(data)
    forget_tables()
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    assert isinstance(load_tables(data, split_seed=1)["train"].images, MappedImages)
    assert final_metrics(data) == from_memory
    assert "train/objective/fairkl" in from_memory and "validation/linear_probe/accuracy" in from_memory


def write_class_folders(root: Path, *parts: str) -> Path:
    for part in parts:
        for label, name in enumerate(("wren", "owl", "kite")):
            for number in range(4 if part == "train" else 2):
                path = root / "classes" / part / name / f"{number}.png"
                write_picture(path, 100 * len(part) + 10 * label + number)
    return root / "classes"


def test_class_folders_are_numbered_as_torchvision_does(data_root: Path) -> None:
    from torchvision.datasets import ImageFolder

    place = write_class_folders(data_root, "train", "val")
    table = folder_images(Folder(path="classes", table=None), 8)
    assert set(table.splits) == {"train", "test"}
    for split, name in (("train", "train"), ("test", "val")):
        theirs = ImageFolder(str(place / name))
        assert table.split(split).attributes["class"].tolist() == theirs.targets
    assert describe(Data(dataset="folder", folder=Folder(path="classes", table=None))).attributes == {"class": 3}


def test_class_folders_may_have_three_parts(data_root: Path) -> None:
    write_class_folders(data_root, "train", "val", "test")
    table = folder_images(Folder(path="classes", table=None), 8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 12, "validation": 6, "test": 6}


def test_wrong_class_folders_are_named(data_root: Path) -> None:
    folder = Folder(path="classes", table=None)
    with pytest.raises(MissingData, match=r"there is no .*classes/train: .* needs train/<class>"):
        read_listing(folder)
    place = write_class_folders(data_root, "train")
    with pytest.raises(MissingData, match=r"no images in .*classes/val/<class>"):
        read_listing(folder)
    write_class_folders(data_root, "val")
    (place / "val" / "owl").rename(place / "val" / "auk")
    with pytest.raises(InvalidFile, match="is no class of") as caught:
        read_listing(folder)
    assert caught.value.file == str(place / "val" / "auk")
    with pytest.raises(InvalidFile, match="no further columns"):
        read_listing(Folder(path="classes", table=None, attributes=("site",)))


def test_a_list_of_classes_takes_those_folders_alone(data_root: Path) -> None:
    place = write_class_folders(data_root, "train", "val")
    (place / "some.txt").write_text("# WordNet numbers\nwren\n\nowl a bird of the night\n")
    source = Folder(path="classes", table=None, classes="some.txt")
    table = folder_images(source, 8)
    assert read_listing(source).names["class"] == ("owl", "wren")
    assert table.split("train").attributes["class"].tolist() == [0] * 4 + [1] * 4
    assert len(table.split("test")) == 4
    for text, words in (
        ("owl\nwren\nowl\n", "'owl' stands in line 1 too"),
        ("owl\n../wren\n", "is no name of a folder"),
        ("owl\nauk\n", r"no .*train/auk, which some\.txt names"),
    ):
        (place / "some.txt").write_text(text)
        with pytest.raises(InvalidFile, match=words):
            read_listing(source)
    with pytest.raises(InvalidFile, match=r"set data\.folder\.table to null"):
        read_listing(Folder(path="classes", classes="some.txt"))
    with pytest.raises(MissingData, match=r"no .*none\.txt"):
        read_listing(Folder(path="classes", table=None, classes="none.txt"))


def test_lists_of_images_say_path_and_class(data_root: Path) -> None:
    place = write_class_folders(data_root, "train", "val")
    train = [f"train/{name}/{k}.png {label}" for label, name in enumerate(("kite", "wren")) for k in range(3)]
    (place / "birds_train.txt").write_text("\n".join(train) + "\n")
    (place / "birds_test.txt").write_text("val/kite/0.png 0\nval/wren/1.png\t1\n")
    source = Folder(path="classes", lists="birds")
    listing, table = read_listing(source), folder_images(source, 8)
    assert listing.names["class"] == ("kite", "wren"), "the folders, where each class has one"
    assert table.split("train").attributes["class"].tolist() == [0, 0, 0, 1, 1, 1]
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 6, "test": 2}
    (place / "birds_val.txt").write_text("train/owl/0.png 0\ntrain/wren/3.png 1\n")
    (place / "birds_train.txt").write_text("\n".join(train) + "\n\n")
    assert folder_images(source, 8).splits["validation"].tolist() == [6, 7]
    assert read_listing(source).names["class"] == ("0", "1"), "two folders for one class"
    with pytest.raises(MissingData, match=r"no .*fish_train\.txt"):
        read_listing(Folder(path="classes", lists="fish"))
    with pytest.raises(InvalidFile, match="no further columns"):
        read_listing(Folder(path="classes", lists="birds", attributes=("site",)))
    (place / "lists").mkdir()
    for part in ("train", "val", "test"):
        (place / f"birds_{part}.txt").rename(place / "lists" / f"own_{part}.txt")
    moved = folder_images(Folder(path="classes", lists="lists/own"), 8)
    assert torch.equal(moved.images[:], folder_images(Folder(path=str(place), lists="lists/own"), 8).images[:])
    assert {name: len(rows) for name, rows in moved.splits.items()} == {"train": 6, "validation": 2, "test": 2}
    (place / "odd_train.txt").write_text("train/owl/0.png 0\ntrain/owl/1.png 2\n")
    (place / "odd_test.txt").write_text("val/owl/0.png 0\n")
    with pytest.raises(InvalidFile, match="class 1 has no image in any list"):
        read_listing(Folder(path="classes", lists="odd"))
