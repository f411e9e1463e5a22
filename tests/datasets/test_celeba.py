from __future__ import annotations

from pathlib import Path

import pytest

from raycon.config import Data
from raycon.datasets import describe, load_tables
from raycon.datasets.celeba import celeba
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture

COLUMNS = ("Attractive", "Blond_Hair", "Male", "Young")
IMAGES = 30


def write_celeba(root: Path) -> Path:
    """20 training, 5 validation and 5 test faces: every third is blond, every second male."""
    folder = root / "celeba"
    names = [f"{number:06d}.jpg" for number in range(1, IMAGES + 1)]
    for number, name in enumerate(names):
        write_picture(folder / "img_align_celeba" / name, number, width=18, height=22)
    rows = [f"{name} 1 {1 if n % 3 == 0 else -1:2d} {1 if n % 2 == 0 else -1:2d} -1" for n, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(IMAGES), " ".join(COLUMNS) + " ", *rows]) + "\n")
    parts = [0] * 20 + [1] * 5 + [2] * 5
    lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    # What torchvision wants to see beside them.
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} 1\n" for name in names))
    for other, columns in (("list_bbox_celeba.txt", "image_id x y"), ("list_landmarks_align_celeba.txt", "x y")):
        (folder / other).write_text("\n".join([str(IMAGES), columns, *(f"{name} 1 2" for name in names)]) + "\n")
    return folder


def test_attributes_and_parts_are_those_that_torchvision_reads(data_root: Path) -> None:
    from torchvision import datasets

    class Unchecked(datasets.CelebA):  # type: ignore[misc]  # torchvision has no types; the fake has other checksums
        def _check_integrity(self) -> bool:
            return True

    write_celeba(data_root)
    table = celeba(16)
    assert table.images.shape == (IMAGES, 3, 16, 16)
    for split, theirs_name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        theirs, ours = Unchecked(str(data_root), split=theirs_name), table.split(split)
        assert len(ours) == len(theirs) > 0
        for name, column in (("class", "Blond_Hair"), ("male", "Male")):
            assert ours.attributes[name].tolist() == theirs.attr[:, theirs.attr_names.index(column)].tolist()


def test_the_official_validation_part_is_kept_and_male_is_the_cue(data_root: Path) -> None:
    write_celeba(data_root)
    data = Data(dataset="celeba", size=8, groups=("class", "male"), reveal=("bias_labels", "groups"))
    assert describe(data).revealed == ("bias_labels", "groups")
    tables = load_tables(data, split_seed=3, splits=("train", "validation", "test"))
    assert {name: len(table) for name, table in tables.items()} == {"train": 20, "validation": 5, "test": 5}
    assert tables["train"].images.shape[1:] == (3, 8, 8)


def test_missing_and_wrong_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"celeba lacks list_attr_celeba\.txt.*img_align_celeba\.zip"):
        celeba(8)
    folder = write_celeba(data_root)
    attributes, parts = folder / "list_attr_celeba.txt", folder / "list_eval_partition.txt"
    whole, whole_parts = attributes.read_text(), parts.read_text()
    cases = [
        (attributes, whole.replace("Male", "Female"), "no column 'Male'", 2),
        (attributes, whole.replace("000003.jpg 1", "000003.jpg"), "3 values for 4 columns", 5),
        (attributes, whole.replace("000001.jpg 1  1", "000001.jpg 1  0"), "Blond_Hair is 0", 3),
        (parts, whole_parts.replace("000002.jpg 0", "000002.jpg 3"), "no|is not a file and a part", 2),
        (parts, whole_parts.replace("000002.jpg 0\n", ""), r"no part for 000002\.jpg", None),
    ]
    for path, text, words, line in cases:
        attributes.write_text(whole)
        parts.write_text(whole_parts)
        path.write_text(text)
        with pytest.raises(InvalidFile, match=words) as caught:
            celeba(8)
        assert (caught.value.file, caught.value.line) == (str(path), line)
