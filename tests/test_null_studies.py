"""The studies of equal arms: the command works, and what stands in the repository agrees with its own table."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "studies" / "null_studies"


def load_script() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("null_studies_run", FOLDER / "run.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["null_studies_run"] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(FOLDER))


def test_the_stored_result_is_that_of_the_stored_table() -> None:
    script = load_script()
    stored = json.loads((FOLDER / "result.json").read_text())
    studies = sorted(script.finished(FOLDER / "studies.csv"), key=lambda study: study.number)
    assert [study.number for study in studies] == list(range(1, 201))
    for name, value in script.summary(studies).items():
        assert stored[name] == pytest.approx(value), name
    assert stored["shown"]["share"] <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_gives_the_stored_rows_again(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run.py"), "--studies", "1", "--processes", "1", "--to", str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "study 1: " in told
    script = load_script()
    (again,) = script.finished(tmp_path / "studies.csv")
    (stored,) = (study for study in script.finished(FOLDER / "studies.csv") if study.number == 1)
    assert again.winner in (1e6, 2e6) and again.selected >= 0
    # Other processors round otherwise, and a training of three epochs amplifies that: the numbers are close, not equal.
    assert again.fresh == pytest.approx(stored.fresh, abs=0.1)
