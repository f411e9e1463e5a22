"""A sweep over three hosts with an sshd and a raylet each, brought up by `ray up`, gives what one process gives.

The hosts are namespaces of this machine; where these are not permitted, three raylets on one host stand in for them.
One command runs it as root, installing what is missing:
`python -m pytest -m cluster tests/cluster/three_hosts -s`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from raycon.errors import RayconError
from raycon.events import parse
from raycon.history import LOG_NAME, SweepHistory, read_sweep
from raycon.searching import sweep as run_sweep
from raycon.settings import Settings
from tests.hosts.clusters import WORKERS, RayCluster, outcome, space
from tests.hosts.nodes import OneMachine

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 600.0


def many_runs(name: str) -> dict[str, Any]:
    """Four short runs, two at a time."""
    return space(name, data="fashion_mnist", epochs=2, trials=4, lag=1)


def shared_runs(name: str, workers: int) -> dict[str, Any]:
    """Two runs in double precision, so that another order of sums cannot show in the scores."""
    content = space(name, data="digits", epochs=3, trials=2, workers=workers)
    content["trial"]["training"]["precision"] = "float64"
    return content


def alone(folder: Path, content: dict[str, Any]) -> SweepHistory:
    """The same search in this process, one run after another, without Ray."""
    path = folder / "alone.yaml"
    path.write_text(yaml.safe_dump(content))
    try:
        return run_sweep(path, settings=Settings(out=folder / "alone", tracking="off", here=True)).history
    except RayconError as error:
        if "RAYCON_DATA" in str(error):
            pytest.skip(str(error))
        raise


def without_weights(history: SweepHistory) -> list[tuple[Any, ...]]:
    """Values, states and scores, rounded to what double precision keeps when sums change their order."""
    found = []
    for key, values, state, scores, _ in outcome(history):
        rounded = {epoch: {name: f"{value:.7g}" for name, value in each.items()} for epoch, each in scores.items()}
        found.append((key, values, state, rounded))
    return found


def hosts_of(log: Path, role: str) -> set[str]:
    """The hosts on which processes of a role ran."""
    events = parse((log / LOG_NAME).read_bytes())[0]
    return {event["host"] for event in events if event.kind == "process" and event["role"].startswith(role)}


def submit(cluster: RayCluster, content: dict[str, Any], slots: int) -> SweepHistory:
    """`ray submit` of a sweep, to its end."""
    path = cluster.hosts.shared / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content))
    began = time.monotonic()
    with cluster.submitted("sweep", str(path), "--slots", str(slots), "--tracking", "off") as process:
        assert process.wait(PATIENCE) == 0, cluster.words.read_text(errors="replace")[-6000:]
    print(f"\nMEASURED ray submit of {content['name']}: {time.monotonic() - began:.1f} s")
    return read_sweep(cluster.out(content["name"]))


def test_slots_on_three_hosts(cluster: RayCluster, tmp_path: Path) -> None:
    expected = alone(tmp_path, many_runs("three"))
    history = submit(cluster, many_runs("three"), slots=2)
    assert outcome(history) == outcome(expected)
    assert hosts_of(cluster.out("three"), "trial actor") == set(WORKERS)


def test_a_run_over_two_hosts_is_that_of_one_process(cluster: RayCluster, tmp_path: Path) -> None:
    expected = alone(tmp_path, shared_runs("shared", 1))
    history = submit(cluster, shared_runs("shared", 2), slots=1)
    assert without_weights(history) == without_weights(expected)
    assert len(hosts_of(cluster.out("shared"), "rank")) == 2


def test_slots_on_three_raylets_of_one_machine(machine: OneMachine, tmp_path: Path) -> None:
    expected = alone(tmp_path, many_runs("three"))
    history = machine.sweep(many_runs("three"), slots=2)
    assert outcome(history) == outcome(expected)
    assert len(machine.nodes_of("three", "trial actor")) == 2


def test_a_run_over_two_raylets_is_that_of_one_process(machine: OneMachine, tmp_path: Path) -> None:
    expected = alone(tmp_path, shared_runs("shared", 1))
    history = machine.sweep(shared_runs("shared", 2), slots=1)
    assert without_weights(history) == without_weights(expected)
