"""The first command of a newcomer, for real: Ray, Optuna and MLflow, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raycon.history import read_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


def _raycon(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from raycon.cli import main; main()", *map(str, arguments)]
    surroundings = {**os.environ, "RAYCON_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    surroundings["PYTHONPATH"] = path
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=surroundings, cwd=folder)


def test_the_demo_from_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = time.monotonic()
    first = _raycon("demo", "--out", out, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert time.monotonic() - started < 120
    table = [line for line in first.stdout.splitlines() if line.startswith("| ")]
    assert len(table) - 1 >= 6 and "best: run " in first.stdout
    page = re.search(r"^report: (\S+)$", first.stdout, re.MULTILINE)
    assert page is not None and Path(page[1]).is_file()
    assert re.search(r"^MLflow: `raycon ui --out \S+`, then http://127\.0\.0\.1:5000/", first.stdout, re.MULTILINE)
    assert {run.state for run in read_sweep(out / "digits-demo").runs} == {"complete"}

    log = (out / "digits-demo" / "events.jsonl").read_bytes()
    started = time.monotonic()
    again = _raycon("demo", "--out", out, folder=tmp_path)
    assert again.returncode == 0 and again.stdout == first.stdout and time.monotonic() - started < 45
    assert (out / "digits-demo" / "events.jsonl").read_bytes() == log

    repeated = _raycon("repeat", _demo_file(), "--out", out, "--seeds", "101,102", folder=tmp_path)
    assert repeated.returncode == 0, repeated.stderr
    assert re.search(r"^winner - plain_supcon: .*n = 2 paired seeds", repeated.stdout, re.MULTILINE)
    tested = _raycon("report", "digits-demo", "--out", out, "--test", folder=tmp_path)
    assert tested.returncode == 0 and "Test split, opened 1 time(s)" in tested.stdout


def _demo_file() -> Path:
    from raycon.demo import demo_space

    source = demo_space().source
    assert source is not None
    return source
