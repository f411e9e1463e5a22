"""SIGKILL of the driver of a real sweep in mid-epoch, then the same command: nothing differs from an undisturbed sweep.

Run by hand on Fashion-MNIST: `python -m tests.cluster.test_killed_driver search_spaces/thanos.yaml 5 --trials 5`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from raycon.history import LOG_NAME, read_sweep

ROOT = Path(__file__).parents[2]
MARK = "RAYCON_TEST_KILLED_DRIVER"
DIGITS = ["--trials", "5", "--set", "training.epochs=12", "--set", "training.score_every=3"]


def _command(space: str, out: Path, options: list[str]) -> list[str]:
    main = "from raycon.cli import main; main()"
    return [sys.executable, "-c", main, "sweep", space, "--out", str(out), "--tracking", "off", "--quiet", *options]


def _environment(mark: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", MARK: mark}


def _log(out: Path) -> Path | None:
    return next(iter(out.glob(f"*/{LOG_NAME}")), None)


def _started(out: Path) -> int:
    log = _log(out)
    return log.read_text().count('"kind":"started"') if log else 0


def kill_in_mid_epoch(space: str, out: Path, options: list[str], mark: str, delay: float) -> bool:
    """Start the sweep, wait until one more run is under way and `delay` seconds, and SIGKILL the driver. Whether it was
    still there to be killed."""
    before = _started(out)
    driver = subprocess.Popen(
        _command(space, out, options), cwd=ROOT, env=_environment(mark), stdout=subprocess.DEVNULL
    )
    limit = time.monotonic() + 120
    while driver.poll() is None and _started(out) == before and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(delay)
    alive = driver.poll() is None
    if alive:
        os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    return alive


def run_to_the_end(space: str, out: Path, options: list[str], mark: str) -> None:
    """The same command, undisturbed."""
    subprocess.run(
        _command(space, out, options), cwd=ROOT, env=_environment(mark), stdout=subprocess.DEVNULL, check=True
    )


def outcome(out: Path) -> dict[str, Any]:
    """Everything that must not depend on an interruption: values, state, scores and weights of every run."""
    log = _log(out)
    assert log is not None
    found: dict[str, Any] = {}
    for run in read_sweep(log.parent).runs:
        assert run.checkpoint is not None
        manifest = json.loads((Path(run.checkpoint) / "manifest.json").read_text())
        scores = {name: value for name, value in run.metrics.items() if not name.startswith("train/speed/")}
        found[run.key] = (run.values, run.state, scores, manifest["sha256"])
    return found


def orphans(mark: str) -> list[int]:
    """Processes that carry the mark of this test and still run, but for this one's own children."""
    own = {child.pid for child in psutil.Process().children(recursive=True)} | {os.getpid()}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(MARK) == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def check(space: str, kills: int, options: list[str], folder: Path, longest: float) -> dict[str, Any]:
    """Kill `kills` times at seeded moments, go on, and compare with a sweep that nobody disturbed."""
    mark, draw = str(folder), random.Random(7)
    run_to_the_end(space, folder / "whole", options, mark)
    killed = 0
    for _ in range(kills):
        killed += kill_in_mid_epoch(space, folder / "killed", options, mark, draw.uniform(0.0, longest))
    run_to_the_end(space, folder / "killed", options, mark)
    expected, found = outcome(folder / "whole"), outcome(folder / "killed")
    assert found == expected
    limit = time.monotonic() + 20
    while orphans(mark) and time.monotonic() < limit:
        time.sleep(0.5)
    assert not orphans(mark)
    return {"kills": killed, "runs": len(found), "equal": found == expected}


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_driver_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    found = check("search_spaces/digits_demo.yaml", 2, DIGITS, tmp_path, longest=2.0)
    assert found["kills"] == 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(check(sys.argv[1], int(sys.argv[2]), sys.argv[3:], Path(name), longest=8.0))
