"""The doctor looks at a real cluster of two nodes (processes of this machine) and finds what is broken in it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raycon.diagnosis import Check
from raycon.errors import InvalidFile

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


def test_a_sweep_is_refused_where_a_node_does_not_see_the_folder(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from raycon.cluster import shared

    ray.init(address=two_nodes, log_to_driver=False, logging_level=logging.CRITICAL)
    try:
        untyped: Any = ray
        first = untyped.nodes()[0]["NodeID"]
        shared.refuse_unshared(str(tmp_path), "the driver is elsewhere")
        monkeypatch.setattr(shared, "sees", lambda marker, seconds: ray.get_runtime_context().get_node_id() != first)
        with pytest.raises(InvalidFile, match=r"is not shared: node [0-9.]+#0 \(.*\) cannot see"):
            shared.refuse_unshared(str(tmp_path), "the driver is elsewhere")
        shared.refuse_unshared(str(tmp_path))
    finally:
        ray.shutdown()
    assert os.listdir(tmp_path) == []


def test_a_storage_that_cannot_be_written_to_is_told(two_nodes: str, tmp_path: Path) -> None:
    from raycon.cluster import doctor

    (tmp_path / "file").touch()
    checks = found(doctor.look_at_cluster(two_nodes, str(tmp_path / "file")))
    assert checks["shared storage"].state == "failed"
    assert "cannot write: " in checks["shared storage"].found and "mount" in checks["shared storage"].fix


def test_a_node_whose_storage_hangs_is_told_beside_the_others(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process stands for one that waits for a dead file server: nothing in it answers, nor does it end."""
    from raycon.cluster import doctor

    class Stuck(doctor.Probe):
        def write(self, folder: str, name: str) -> str:
            if name.endswith("#1"):
                (tmp_path / "pid").write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGSTOP)
            return super().write(folder, name)

    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(doctor, "Probe", Stuck)
    monkeypatch.setattr(doctor, "STORAGE_PATIENCE", 4.0)
    monkeypatch.setattr(doctor, "PORTS_PATIENCE", 4.0)
    started = time.monotonic()
    try:
        checks = found(doctor.look_at_cluster(two_nodes, str(tmp_path)))
        took = time.monotonic() - started
    finally:
        with contextlib.suppress(OSError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert took < 60
    reason = "did not answer within 4 s: the storage hangs?"
    assert checks["nodes"].state == "failed" and f"#1 gives no answer ({reason})" in checks["nodes"].found
    assert checks["shared storage"].state == "failed" and f"#1 {reason}" in checks["shared storage"].found
    assert checks["python on nodes"].state == checks["clocks"].state == "ok"


def test_a_thread_that_hangs_leaves_the_rest_of_its_node_to_be_judged(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raycon.cluster import doctor

    class Slow(doctor.Probe):
        def read(self, folder: str, names: list[str]) -> list[str]:
            time.sleep(0 if names[0].endswith("#0") and Path(folder).exists() else 3600)
            return super().read(folder, names)

        def write(self, folder: str, name: str) -> str:
            time.sleep(3600 * name.endswith("#1"))
            return super().write(folder, name)

    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(doctor, "Probe", Slow)
    monkeypatch.setattr(doctor, "STORAGE_PATIENCE", 4.0)
    checks = found(doctor.look_at_cluster(two_nodes, str(tmp_path)))
    (reason,) = checks["shared storage"].found.split("; ")
    assert checks["shared storage"].state == "failed"
    assert "#1 did not answer within 4 s: the storage hangs?" in reason
    assert checks["nodes"].state == checks["ports between nodes"].state == "ok"


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
