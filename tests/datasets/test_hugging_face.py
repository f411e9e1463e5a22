"""Sets that the `datasets` library itself has written: save_to_disk, Parquet, and class folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from raycon.config import Data, Folder, HuggingFace
from raycon.datasets import decoded, describe, load_tables
from raycon.datasets.card import data_card
from raycon.datasets.hugging_face import hugging_face_images
from raycon.datasets.hugging_face_listing import read_hugging_face
from raycon.datasets.loading import forget_tables
from raycon.datasets.mapped import MappedImages
from raycon.datasets.places import cache_folder
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import picture, write_picture

library: Any = pytest.importorskip("datasets")

SPECIES = ("wren", "owl", "kite")
COUNTS = {"train": 12, "validation": 3, "test": 6}
SOURCE = HuggingFace(path="birds", image="photo", label="species", validation="validation", attributes=("site", "wet"))


def written(count: int, first: int) -> Any:
    """`count` birds: a PNG each, a ClassLabel, a number and a truth value."""
    from PIL import Image

    rows = {
        "photo": [Image.fromarray(picture(first + row)) for row in range(count)],
        "species": [row % 3 for row in range(count)],
        "site": [9 + row % 2 for row in range(count)],
        "wet": [row % 4 == 0 for row in range(count)],
        "note": [f"note {row}" for row in range(count)],
    }
    features = library.Features(
        {
            "photo": library.Image(),
            "species": library.ClassLabel(names=list(SPECIES)),
            "site": library.Value("int64"),
            "wet": library.Value("bool"),
            "note": library.Value("string"),
        }
    )
    return library.Dataset.from_dict(rows, features=features)


@pytest.fixture
def saved(data_root: Path) -> Path:
    parts, first = {}, 0
    for name, count in COUNTS.items():
        parts[name] = written(count, first)
        first += count
    library.DatasetDict(parts).save_to_disk(str(data_root / "birds"))
    return data_root / "birds"


def expected() -> torch.Tensor:
    count = sum(COUNTS.values())
    return torch.stack([torch.from_numpy(picture(row).copy()).permute(2, 0, 1) for row in range(count)])


@pytest.mark.usefixtures("saved")
def test_columns_become_attributes_and_images_are_those_saved() -> None:
    table = hugging_face_images(SOURCE, 8)
    assert torch.equal(table.images[:], expected())
    labels = [row % 3 for count in COUNTS.values() for row in range(count)]
    assert table.attributes["class"].tolist() == labels
    assert table.attributes["site"].tolist() == [row % 2 for count in COUNTS.values() for row in range(count)]
    assert table.attributes["wet"].tolist() == [int(row % 4 == 0) for count in COUNTS.values() for row in range(count)]
    assert {name: len(rows) for name, rows in table.splits.items()} == COUNTS
    assert read_hugging_face(SOURCE).names == {"class": SPECIES, "site": ("9", "10"), "wet": ("0", "1")}


@pytest.mark.usefixtures("saved")
def test_it_is_described_trained_on_and_carded_as_any_set(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data(dataset="hugging_face", hugging_face=SOURCE, size=8, groups=("class", "site"), bias_labels="site")
    assert describe(data).attributes == {"class": 3, "site": 2, "wet": 2}
    tables = load_tables(data, split_seed=0, splits=("train", "validation", "test"))
    assert {name: len(table) for name, table in tables.items()} == COUNTS
    card = data_card(data, split_seed=0)
    assert card.counts["train"]["class x site"]["wren + 9"] == 2 and card.source == "datasets birds"
    forget_tables()
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    part = load_tables(data, split_seed=0)["train"]
    assert isinstance(part.images, MappedImages) and torch.equal(part.images[:], expected()[:12])


def test_images_are_decoded_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hugging_face_images(SOURCE, 8)
    monkeypatch.setattr("raycon.datasets.hugging_face.middle_square", None)
    assert len(hugging_face_images(SOURCE, 8)) == sum(COUNTS.values())
    assert len([path for path in cache_folder().iterdir() if path.name.startswith("hugging_face-")]) == 2  # and a lock
    assert saved.is_dir()


def test_parquet_files_and_class_folders_are_read(data_root: Path) -> None:
    (data_root / "flat").mkdir()
    for name, count in (("train", 12), ("test", 6)):
        written(count, 0).to_parquet(str(data_root / "flat" / f"{name}-00000-of-00001.parquet"))
    flat = hugging_face_images(HuggingFace(path="flat", image="photo", label="species"), 8)
    assert torch.equal(flat.images[:], torch.cat([expected()[:12], expected()[:6]]))
    for label, name in enumerate(("owl", "wren")):
        for number in range(4):
            part = "train" if number < 3 else "test"
            write_picture(data_root / "folders" / part / name / f"{number}.png", 10 * label + number)
    table = hugging_face_images(HuggingFace(path="folders"), 8)
    assert table.split("train").attributes["class"].tolist() == [0, 0, 0, 1, 1, 1]
    assert read_hugging_face(HuggingFace(path="folders")).names["class"] == ("owl", "wren")
    assert torch.equal(table.images[torch.tensor([3])][0], torch.from_numpy(picture(10).copy()).permute(2, 0, 1))


@pytest.mark.usefixtures("saved")
def test_without_a_test_split_a_fifth_is_held_out_and_text_may_be_the_label() -> None:
    source = HuggingFace(path="birds", image="photo", label="site", test=None, attributes=("note",))
    table = hugging_face_images(source, 8)
    assert {name: len(rows) for name, rows in table.splits.items()} == {"train": 10, "test": 2}
    assert torch.equal(hugging_face_images(source, 8).splits["test"], table.splits["test"])
    assert read_hugging_face(source).names["note"][:3] == ("note 0", "note 1", "note 10")


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("source", "field", "words"),
    [
        (HuggingFace(path="birds", image="phot", label="species"), "image", "did you mean 'photo'"),
        (HuggingFace(path="birds", image="note", label="species"), "image", "'note' holds no images"),
        (HuggingFace(path="birds", image="photo", label="kind"), "label", "no column 'kind'.*it has: photo, species"),
        (HuggingFace(path="birds", image="photo", label="species", test="tets"), "test", "no split 'tets'.*null holds"),
        (
            HuggingFace(path="birds", image="photo", label="species", attributes=("colour",)),
            "attributes",
            "raycon's own",
        ),
        (HuggingFace(path="bird"), "path", "there is no .*bird; to fetch 'bird' from the hub, set download: true"),
        (HuggingFace(path="bird", download=True), "download", "RAYCON_OFFLINE=1 forbids"),
    ],
)
def test_what_is_not_there_is_named(source: HuggingFace, field: str, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as caught:
        describe(Data(dataset="hugging_face", hugging_face=source))
    assert caught.value.field == f"data.hugging_face.{field}"


def test_rows_without_an_image_or_a_label_are_refused(data_root: Path) -> None:
    rows = {"image": [{"bytes": b"text", "path": None}] * 4, "label": ["a", "b", "a", None]}
    features = library.Features({"image": library.Image(), "label": library.Value("string")})
    whole = library.Dataset.from_dict(rows, features=features)
    whole.save_to_disk(str(data_root / "odd"))
    source = HuggingFace(path="odd", test=None)
    with pytest.raises(InvalidFile, match="'label' has an empty value"):
        describe(Data(dataset="hugging_face", hugging_face=source))
    whole.select(range(3)).save_to_disk(str(data_root / "other"))
    with pytest.raises(InvalidFile, match=r"row \d of other cannot be read as an image"):
        hugging_face_images(HuggingFace(path="other", test=None), 8)


def test_a_folder_that_the_library_cannot_read_is_named(data_root: Path) -> None:
    (data_root / "empty").mkdir()
    with pytest.raises(MissingData, match=r"empty cannot be loaded \(EmptyDatasetError"):
        read_hugging_face(HuggingFace(path="empty"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(dataset="hugging_face"), "is needed for data.dataset: hugging_face"),
        (Data(hugging_face=HuggingFace(path="birds")), "is read with data.dataset: hugging_face, not digits"),
        (Data(dataset="hugging_face", folder=Folder(path="birds")), "is read with data.dataset: folder"),
    ],
)
def test_the_section_and_the_name_belong_together(data: Data, words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        describe(data)


def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from raycon.config import HuggingFace\n"
        "from raycon.datasets.hugging_face_listing import read_hugging_face\n"
        f"read_hugging_face(HuggingFace(path={str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "pip install 'raycon[hugging-face]'" in done.stderr
