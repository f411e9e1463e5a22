"""`raycon data`: what there is, and what is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from raycon import cli
from raycon.datasets import DATASETS


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["data", *arguments])
    told = capsys.readouterr()
    return int(end.value.code or 0), told.out, told.err


def test_ls_names_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "ls")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [*DATASETS, "folder", "hugging_face"]
    _, out, _ = run(capsys, "ls", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["name"]: row["classes"] for row in rows}["cifar100"] == 100


def test_ls_loads_no_torch() -> None:
    code = "import sys, raycon.cli\ntry:\n raycon.cli.main(['data', 'ls'])\nfinally:\n sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_card_of_a_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "card", "digits", "--out", str(tmp_path))
    assert code == 0
    assert "test       449 images" in out
    assert "content  sha256 " in out
    with Image.open(tmp_path / "data" / "digits.png") as picture:
        assert picture.width > 300 and picture.height > 300
    assert str(tmp_path / "data" / "digits.png") in err


def test_a_card_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "coloured.yaml"
    file.write_text("trial: {data: {dataset: digits, bias: {rate: 0.9}}, objective: {supcon: {}}}\n")
    code, out, _ = run(capsys, "card", str(file), "--set", "data.bias.rate=0.5", "--json", "--out", str(tmp_path))
    assert code == 0
    card = json.loads(out)
    assert card["shape"] == [3, 8, 8]
    train = card["counts"]["train"]["aligned"]
    assert abs(train["aligned"] - train["conflicting"]) <= 20
    assert Path(card["picture"]).name == "coloured.png"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("card", "digit"), "did you mean 'digits'"),
        (("card", "folder"), "data.folder: is needed"),
        (("card", "digits", "--set", "data.size=9"), "replaces values of a file"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err and err.count("\n") == 1
