from __future__ import annotations

from pathlib import Path

import pytest

from raycon.config import Data
from raycon.datasets import load_tables
from raycon.datasets.waterbirds import waterbirds
from raycon.errors import InvalidFile, MissingData
from tests.datasets.pictures import write_picture

ROWS = [(n, n % 2, 0 if n < 16 else 1 if n < 20 else 2, n % 2 if n % 5 else 1 - n % 2) for n in range(24)]
"""Number, y, split, place: every fifth bird has the other background."""


def write_waterbirds(root: Path, inside: str = "waterbird_complete95_forest2water2") -> Path:
    """24 birds in the layout of waterbird_complete95_forest2water2.tar.gz."""
    folder = root / inside
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for number, label, split, place in ROWS:
        name = f"00{number % 3}.Bird/Bird_{number:04d}.jpg"
        write_picture(folder / name, number, width=12, height=9)
        lines.append(f"{number + 1},{name},{label},{split},{place},/b/bamboo_forest/{number}.jpg")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("inside", ["waterbird_complete95_forest2water2", "waterbirds_v1.0"])
def test_the_table_holds_what_the_csv_says(data_root: Path, inside: str) -> None:
    write_waterbirds(data_root, inside)
    table = waterbirds(8)
    assert table.images.shape == (24, 3, 8, 8)
    assert table.attributes["class"].tolist() == [row[1] for row in ROWS]
    assert table.attributes["background"].tolist() == [row[3] for row in ROWS]
    assert table.attributes["aligned"].tolist() == [int(row[1] == row[3]) for row in ROWS]
    assert {name: rows.tolist() for name, rows in table.splits.items()} == {
        "train": list(range(16)),
        "validation": list(range(16, 20)),
        "test": list(range(20, 24)),
    }


def test_groups_are_bird_and_background(data_root: Path) -> None:
    write_waterbirds(data_root)
    data = Data(dataset="waterbirds", size=8, groups=("class", "background"), validation_size=2)
    tables = load_tables(data, split_seed=0)
    assert len(tables["validation"]) == 2
    groups, count = tables["train"].product(data.groups)
    assert count == 4
    assert groups.tolist() == [2 * row[1] + row[3] for row in ROWS[:16]]


def test_missing_and_wrong_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"waterbirds_v1\.0 lacks metadata\.csv.*tar\.gz"):
        waterbirds(8)
    folder = write_waterbirds(data_root)
    csv = folder / "metadata.csv"
    whole = csv.read_text()
    for text, words, line in (
        (whole.replace("place,", "spot,"), "no column 'place'", 1),
        (whole.replace("0000.jpg,0,0,1", "0000.jpg,2,0,1"), "'y' is '2', not 0 or 1", 2),
        (whole.replace("0001.jpg,1,0", "0001.jpg,1,"), "'split' is ''", 3),
    ):
        csv.write_text(text)
        with pytest.raises(InvalidFile, match=words) as caught:
            waterbirds(8)
        assert (caught.value.file, caught.value.line) == (str(csv), line)
    csv.write_text(whole)
    lost = folder / "002.Bird" / "Bird_0005.jpg"
    lost.unlink()
    with pytest.raises(InvalidFile) as caught:
        waterbirds(8)
    assert caught.value.file == str(lost)
