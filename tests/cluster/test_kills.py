"""Real SIGKILLs at random moments, and an interrupted driver: what is left equals an uninterrupted sweep.

Each driver is a program of its own with its own Ray, so this file must not run beside a Ray in the test process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from raycon.cluster.session import marked_processes, workers_of
from raycon.errors import RayconError
from raycon.history import SweepHistory, read_sweep
from tests.cluster.inline import expected, make_sweep, outcome
from tests.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

TIMES = int(os.environ.get("RAYCON_TEST_KILLS", "1"))
KILLS = {1: 6 * TIMES, 2: 4 * TIMES}
"""SIGKILLs by number of workers: ten in all, or as many times that as RAYCON_TEST_KILLS says."""


class Program:
    """The sweep program in one folder, started again and again."""

    def __init__(self, folder: Path, workers: int, trials: int):
        self.folder = folder
        self.options: dict[str, Any] = {
            "sweep": {"trials": trials, "workers": workers, "retries": 50},
            "trial": {"training": {"epochs": 4}, "idle": {"steps": 4, "seconds": 0.1}},
            "slots": 2 if workers == 1 else 1,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        settings = {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.idle_sweep", str(self.folder), json.dumps(self.options)],
            env=environment,
            start_new_session=True,
        )
        return self.process

    def history(self) -> SweepHistory | None:
        try:
            return read_sweep(self.folder)
        except RayconError:
            return None

    def living(self, role: str) -> list[psutil.Process]:
        """The recorded processes of a role that still run, newest last."""
        history = self.history()
        found = [] if history is None else [record for record in history.processes if record.role.startswith(role)]
        living = []
        for record in found:
            try:
                process = psutil.Process(record.pid)
                if abs(process.create_time() - record.created) < 0.01 and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
            except psutil.Error:
                continue
        return living

    def check(self, reference: Path) -> None:
        """Every run is finished exactly once, with the results of an uninterrupted sweep, and no process is left."""
        history = self.history()
        assert history is not None
        sweep = make_sweep(**self.options["sweep"])
        assert outcome(history) == expected(reference, sweep, self.options["trial"])
        assert [run.state for run in history.runs] == ["complete"] * sweep.trials
        wait_until(lambda: not self.left_over(), 20, lambda: f"the end of {self.left_over()}")

    def left_over(self) -> list[Any]:
        """Processes of this sweep that still run."""
        recorded = [process for role in ("ray", "trial actor", "rank", "driver") for process in self.living(role)]
        history = self.history()
        raylets = [] if history is None else [asdict(record) for record in history.processes if record.role == "ray"]
        found = [*recorded, *marked_processes(self.folder), *workers_of(raylets)]
        return [process.as_dict(["pid", "name"]) for process in found]


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    made = Program(tmp_path / "sweep", *request.param)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    for process in marked_processes(made.folder):
        process.kill()


@pytest.mark.parametrize("program", [(1, 8), (2, 6)], indirect=True, ids=["one worker", "two workers"])
def test_random_kills(program: Program, tmp_path: Path) -> None:
    workers = program.options["sweep"]["workers"]
    moments = random.Random(workers)
    roles = ["driver", "trial actor"] + ["rank"] * (workers > 1)
    kills: list[str] = []
    while len(kills) < KILLS[workers]:
        if program.process is None or program.process.poll() is not None:
            assert program.process is None or program.process.returncode in (0, -signal.SIGKILL)
            history = program.history()
            if history is not None and history.finished:
                program.check(tmp_path / f"reference-{len(kills)}")
                program.folder = tmp_path / f"sweep-{len(kills)}"
            program.start()
        role = moments.choice(roles)
        if role == "driver":
            kill_driver(program, moments.uniform(0, 12 if workers == 1 else 40))
            kills.append(role)
        elif kill_worker(program, role, moments):
            kills.append(role)
    process = program.process
    while process is not None and (code := process.wait(600)) != 0:
        assert code == -signal.SIGKILL, code
        process = program.start()
    program.check(tmp_path / "reference-last")
    print(f"{len(kills)} kills: {', '.join(kills)}")


def kill_driver(program: Program, delay: float) -> None:
    process = program.process
    assert process is not None
    time.sleep(delay)
    process.kill()
    process.wait()


def kill_worker(program: Program, role: str, moments: random.Random) -> bool:
    """Kill a process of that role at a random moment of its life; False if the sweep ended before there was one."""
    process = program.process
    assert process is not None
    wait_until(lambda: program.living(role) or process.poll() is not None, 120, f"a {role}")
    time.sleep(moments.uniform(0, 2))
    living = program.living(role)
    if not living or process.poll() is not None:
        return False
    moments.choice(living).kill()
    return True


@pytest.mark.parametrize("program", [(1, 4)], indirect=True, ids=["one worker"])
def test_an_interrupt_of_the_whole_terminal_ends_cleanly(program: Program, tmp_path: Path) -> None:
    process = program.start()
    wait_until(lambda: (history := program.history()) is not None and history.counts().get("complete"), 90, "a run")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    wait_until(lambda: not program.left_over(), 20, lambda: f"the end of {program.left_over()}")
    history = program.history()
    assert history is not None and history.attempts[-1].closed_at is not None
    assert program.start().wait(200) == 0
    program.check(tmp_path / "reference")
