"""The cost of a trial does not grow with the number of trials: a hundred runs that do nothing over three nodes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raycon.cluster.scale import Meter, Moment, lines, parser


def test_stretches_are_differences_between_moments(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "log")
    meter.moments = [Moment(n + 1, 2.0 * n, 0.5 * n * (n > 4), 1000 + n, 100 * n) for n in range(11)]
    first, second = meter.stretches(2, skip=0)
    assert (first.trials, first.wall_per_trial, first.cpu_per_trial, first.memory) == (5, 2.0, 0.5, 1005)
    assert (second.log_per_trial, second.memory) == (100, 1010)
    assert [one.trials for one in meter.stretches(3, skip=2)] == [2, 2, 2]
    assert json.loads(next(lines([first], as_json=True)))["trials"] == 5
    assert "+    5: wall 2000.0 ms, processor 500.0 ms" in next(lines([first], as_json=False))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_driver_alone_is_measured_over_a_real_space() -> None:
    rows = measured("--search", "search_spaces/digits_demo.yaml", "--trials", "60", "--stretches", "2")
    assert [row["trials"] for row in rows] == [29, 29]
    assert all(row["cpu_per_trial"] > 0 and row["log_per_trial"] > 500 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_waiting_for_the_log_costs_is_measured_where_it_will_lie(tmp_path: Path) -> None:
    options = ("--search", "search_spaces/digits_demo.yaml", "--set", "sweep.sampler=random", "--epochs", "3")
    (row,) = measured(*options, "--trials", "20", "--stretches", "1", "--out", str(tmp_path))
    assert row["wall_per_trial"] > 0 and row["log_per_trial"] > 1000
    assert os.listdir(tmp_path) == []


def test_the_commands_of_the_page_on_scaling_are_commands() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    commands = re.findall(r"python -m raycon\.cluster\.scale ([^`\n]*)", page)
    assert len(commands) >= 4
    for command in commands:
        options = parser().parse_args(shlex.split(command))
        assert options.search is None or Path(options.search).is_file(), command
        assert options.trials > options.stretches


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_trial_costs_the_same_at_the_end_as_at_the_beginning() -> None:
    rows = measured("--trials", "100", "--stretches", "4")
    first, last = rows[0], rows[-1]
    assert sum(row["trials"] for row in rows) >= 80
    # Time of the processor: the wall time of a test has other tests in it.
    assert last["cpu_per_trial"] <= 2 * first["cpu_per_trial"], rows
    assert last["log_per_trial"] <= 1.1 * first["log_per_trial"], rows
    assert last["memory"] - first["memory"] < 64 * 1024**2, rows


def measured(*options: str) -> list[dict[str, float]]:
    """The stretches that the program tells."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    found = subprocess.run(
        [sys.executable, "-m", "raycon.cluster.scale", *options, "--json"],
        env={**environment, "PYTHONPATH": str(Path.cwd()), "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
