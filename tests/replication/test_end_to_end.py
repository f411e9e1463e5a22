"""The whole way on Ray: search, repetition, bundle, verify, replicate; each command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_file

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]


def _raycon(*arguments: object, folder: Path) -> str:
    command = [sys.executable, "-c", "from raycon.cli import main; main()", *map(str, arguments)]
    surroundings = {**os.environ, "RAYCON_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, env=surroundings, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _replicated(bundle: str, trials: int, folder: Path) -> list[dict[str, Any]]:
    options = ["--out", folder / "elsewhere", "--tracking", "off", "--json"]
    told = _raycon("replicate", bundle, "--trials", trials, *options, folder=folder)
    return [json.loads(line) for line in told.splitlines()]


def test_what_was_searched_and_repeated_is_replicated(tmp_path: Path) -> None:
    file, out = tiny_file(tmp_path), tmp_path / "out"
    _raycon("sweep", file, "--trials", 2, "--out", out, "--tracking", "off", "--quiet", folder=tmp_path)
    _raycon("bundle", "tiny", "--out", out, "--to", "search.zip", folder=tmp_path)
    checked = _raycon("verify", "search.zip", folder=tmp_path)
    assert "test set: never opened" in checked
    # Another folder, another Ray, another try: the same seeds give the same bits.
    run, verdict = _replicated("search.zip", 1, tmp_path)
    assert run["result"] == "equal" and run["new"] == run["stored"] and verdict["verdict"] == "replicated"

    seeds = ["--seeds", "101,102,103", "--tracking", "off", "--quiet"]
    _raycon("repeat", file, *seeds, "--out", out, folder=tmp_path)
    name = next(path.name for path in out.iterdir() if "-repeat-" in path.name)
    _raycon("bundle", name, "--out", out, "--to", "repeat.zip", "--weights", folder=tmp_path)
    first, second, verdict = _replicated("repeat.zip", 2, tmp_path)
    for run in (first, second):
        assert run["seeds"] == "fresh" and run["stored runs"] == 3 and run["low"] <= run["high"]
        assert run["result"] == ("inside" if run["low"] <= run["new"] <= run["high"] else "outside")
    assert verdict["verdict"] in ("replicated", "not replicated")
    assert _replicated("repeat.zip", 2, tmp_path) == [first, second, verdict]
