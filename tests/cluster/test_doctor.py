"""The doctor looks at a real cluster of two nodes (processes of this machine) and finds what is broken in it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raycon.diagnosis import Check

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(280)]


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """A cluster of two nodes beside whatever else runs here; its address."""
    import ray
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        pytest.skip("SKIPPED FOR REAL: the doctor attaches, and this process is attached to another Ray already")
    cluster: Any = Cluster()
    cluster.add_node(num_cpus=1, include_dashboard=False)
    cluster.add_node(num_cpus=1)
    yield str(cluster.address)
    cluster.shutdown()


def test_two_nodes_are_examined(two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    from raycon.cluster import doctor

    checks = found(doctor.look_at_cluster(two_nodes, str(tmp_path)))
    assert checks["nodes"].found == "2 nodes, 2 CPU, 0 GPU"
    assert {check.name: check.state for check in checks.values() if check.state == "failed"} == {}
    assert checks["shared storage"].found == f"{tmp_path}: written on each of 2 nodes, read on all"
    assert checks["clocks"].state == checks["ports between nodes"].state == checks["torch on nodes"].state == "ok"
    assert checks["token"].state == ("warning" if os.environ.get("RAY_AUTH_MODE") == "disabled" else "ok")
    assert os.listdir(tmp_path) == []


def test_a_storage_that_cannot_be_written_to_is_told(two_nodes: str, tmp_path: Path) -> None:
    from raycon.cluster import doctor

    (tmp_path / "file").touch()
    checks = found(doctor.look_at_cluster(two_nodes, str(tmp_path / "file")))
    assert checks["shared storage"].state == "failed"
    assert "cannot write: " in checks["shared storage"].found and "mount" in checks["shared storage"].fix


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    from raycon.cluster import doctor

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (check,) = doctor.look_at_cluster(f"127.0.0.1:{port}", None)
    assert check.state == "failed" and "refused" in check.found and "head runs" in check.fix


def found(checks: list[Check]) -> dict[str, Check]:
    for check in checks:
        logging.getLogger("raycon").info(check.line)
    return {check.name: check for check in checks}
