"""A sweep in a cluster that is full, or that fills up from nothing: it waits, says so, and never takes too much."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.driver import Driver
from raycon.errors import LimitHit
from tests.cluster.inline import make_sweep
from tests.cluster.own_machine import on_own_machine, skip_without_namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
in_cluster = pytest.mark.usefixtures("ray_cluster")

TRIAL = {"training": {"epochs": 2}, "idle": {"steps": 2, "seconds": 0.3}}


@contextmanager
def held(cpus: int, seconds: float) -> Iterator[None]:
    """CPUs that somebody else holds for a while."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group([{"CPU": 1}] * cpus)
    ray.get(group.ready())
    timer = threading.Timer(seconds, lambda: remove_placement_group(group))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        remove_placement_group(group)


def run(folder: Path, trials: int, **options: Any) -> Driver:
    from raycon.cluster.search import run_sweep

    sweep = make_sweep(trials=trials, lag=3, workers=options.pop("workers", 1))
    driver = idle_driver(folder, sweep, options.pop("trial", TRIAL))
    driver.open()
    try:
        run_sweep(driver, sweep, factory=FACTORY, folder=folder, **options)
    finally:
        driver.close()
    return driver


def at_once(driver: Driver) -> int:
    """The largest number of runs that were at work at the same time, from first to last score."""
    spans = [(min(times), max(times)) for times in scores(driver).values()]
    return max(sum(start <= moment <= end for start, end in spans) for moment, _ in spans)


def scores(driver: Driver) -> dict[str, list[float]]:
    """When each run was scored."""
    found: dict[str, list[float]] = {}
    for event in driver.log.read():
        if event.kind == "scored":
            found.setdefault(event.payload["key"], []).append(event.time)
    return found


@in_cluster
def test_a_full_cluster_is_waited_for_and_then_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "raycon"), held(2, 5.0):
        driver = run(tmp_path, 6)
        took = time.monotonic() - started
    assert took > 5.0
    assert driver.history.counts() == {"complete": 6}
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("waiting for room in the cluster for a run of 1 CPU (30 minutes more at most)")
    assert any(text.startswith("there is room after") for text in told)


@in_cluster
def test_a_sweep_takes_a_second_slot_when_it_becomes_free(tmp_path: Path) -> None:
    # A run that is shorter than the start of an actor would have it thrown away: Tune hands its own on.
    long = {"training": {"epochs": 2}, "idle": {"steps": 2, "seconds": 4.0}}
    with held(1, 3.0):
        driver = run(tmp_path, 4, trial=long)
    assert driver.history.counts() == {"complete": 4}
    assert at_once(driver) == 2


@in_cluster
def test_a_group_of_workers_waits_for_all_of_its_room(tmp_path: Path) -> None:
    with held(1, 6.0):
        driver = run(tmp_path, 2, workers=2, resources={"cpu": 1, "gpu": 0})
    assert driver.history.counts() == {"complete": 2}
    assert not any(record.losses for record in driver.history.runs)


@in_cluster
def test_the_wait_ends_at_its_limit_and_nothing_was_asked(tmp_path: Path) -> None:
    started = time.monotonic()
    with held(2, 60.0), pytest.raises(LimitHit, match=r"no room in the cluster for a run of 1 CPU within 3 s") as told:
        run(tmp_path, 2, wait_minutes=0.05)
    assert told.value.exit_code == 4
    assert time.monotonic() - started < 20
    assert not any(event.kind == "asked" for event in idle_driver(tmp_path, make_sweep(), TRIAL).log.read())


def test_a_cluster_of_no_machine_grows_for_a_sweep_with_parts_of_gpus(tmp_path: Path) -> None:
    """Ray's own autoscaler with its fake provider, whose machines are processes and whose GPUs are counted only."""
    skip_without_namespaces()
    script = f"{sys.executable} -m tests.cluster.growing_sweep {tmp_path}"
    found = on_own_machine(tmp_path / "machine", script, 220)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    told = json.loads(found.stdout.splitlines()[-1])
    assert "2 GPU in the cluster with all that" in told["refused"] and "asked 3" in told["refused"]
    assert told["refused_after"] < 5
    assert told["nodes_before"] == 1 and told["nodes_after"] == 2
    assert told["counts"] == {"complete": 12}
    assert told["slots"] == 4
