"""Sweeps and their repetitions are found in the output folder, which the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from raycon.errors import InvalidFile
from raycon.settings import Settings
from raycon.sweep_folders import find_sweep, repeats_of
from tests.reporting.synthetic import ALIGNMENT, realistic_repeat, realistic_sweep
from tests.tiny import tiny_file


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    realistic_sweep(folder / "thanos")
    realistic_sweep(folder / "pareto", minimize=(ALIGNMENT,))
    realistic_repeat(folder / "thanos-repeat-1", "thanos")
    realistic_repeat(folder / "thanos-repeat-2", "another")
    return folder


def test_a_sweep_is_found_by_name_folder_and_file(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(out=shelf)
    assert find_sweep("thanos", settings) == shelf / "thanos"
    assert find_sweep(str(shelf / "pareto"), Settings(out=tmp_path)) == shelf / "pareto"
    path = tiny_file(tmp_path, ("name: tiny", "name: thanos"))
    assert find_sweep(str(path), settings) == shelf / "thanos"
    monkeypatch.chdir(shelf)
    assert find_sweep("pareto", Settings(out=tmp_path)) == shelf / "pareto"
    with pytest.raises(InvalidFile, match=r"no sweep 'tanos'.*did you mean 'thanos'.*pareto, thanos"):
        find_sweep("tanos", settings)
    with pytest.raises(InvalidFile, match="there: none"):
        find_sweep("x", Settings(out=tmp_path / "empty"))


def test_repetitions_belong_to_their_sweep(shelf: Path) -> None:
    assert repeats_of("thanos", Settings(out=shelf)) == [shelf / "thanos-repeat-1"]
    assert repeats_of("pareto", Settings(out=shelf)) == []


def test_the_output_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAYCON_OUT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings().folder == tmp_path / "raycon_out"
    monkeypatch.setenv("RAYCON_OUT", "elsewhere")
    assert Settings().folder == tmp_path / "elsewhere"
    assert Settings(out=Path("here")).folder == tmp_path / "here"
