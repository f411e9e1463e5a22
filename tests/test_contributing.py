"""The worked example of CONTRIBUTING.md is carried out in a copy, and the catalogue's tests judge its result."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import raycon

ROOT = Path(raycon.__file__).parents[1]
BLOCK = re.compile(r"`([\w/]+\.py)`:[^\n]*\n\n```python\n(.*?)```", re.DOTALL)
CATALOGUE = "raycon/losses/terms.py"


def blocks() -> dict[str, str]:
    """File -> what the example writes into it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return dict(BLOCK.findall(text[text.index("## A loss, from beginning to end") :]))


def test_the_example_touches_two_files_and_the_catalogue() -> None:
    assert list(blocks()) == ["raycon/losses/compactness.py", "tests/oracles/compactness.py", CATALOGUE]
    assert len(blocks()[CATALOGUE].splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_example_passes_the_tests_of_the_catalogue(tmp_path: Path) -> None:
    carry_out(tmp_path)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/losses/test_catalogue.py"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [*command, "-k", "compactness"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    told = found.stdout + found.stderr
    assert found.returncode == 0, told
    passed = re.search(r"(\d+) passed", told.replace("\x1b", " ")) or re.search(r"^(\.+)", told, re.MULTILINE)
    assert passed is not None
    assert "compactness" in (tmp_path / CATALOGUE).read_text()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_wrong_example_would_be_found(tmp_path: Path) -> None:
    carry_out(tmp_path)
    term = tmp_path / "raycon/losses/compactness.py"
    term.write_text(term.read_text().replace("- slack)", "+ slack)"))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/losses/test_catalogue.py"]
    found = subprocess.run(
        [*command, "-k", "compactness and equals_its_oracle"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stdout


def carry_out(folder: Path) -> None:
    """The repository's code in `folder`, changed as the example says."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("raycon", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in blocks().items():
        if path != CATALOGUE:
            assert not (folder / path).exists()
            (folder / path).write_text(text)
    with (folder / CATALOGUE).open("a") as catalogue:
        catalogue.write(blocks()[CATALOGUE])
