"""Asking every node of a cluster how it is: one small actor a node that looks, writes, listens and connects."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raycon.cluster.session import QUIET, environment
from raycon.diagnosis import Check, NodeReport, cluster_checks, found_devices, installed_packages

PATIENCE = 60.0
"""Seconds for a node to start its actor, which imports torch."""
PINGS = 5
NEIGHBOURS = 16
"""Nodes that each node connects to; in larger clusters those that follow it."""


def look_at_cluster(address: str, storage: str | None) -> list[Check]:
    """Attach to the cluster and judge its nodes; one failed check if it is not reached."""
    problem = unreachable(address)
    if problem:
        fix = "check the address, that the head runs (`ray status` there), and that its port is open"
        return [Check("cluster", "failed", f"{address}: {problem}", fix)]
    with environment(QUIET):
        there_already = ray.is_initialized()
        try:
            if not there_already:
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            fix = "same Ray and Python as the cluster's, and its token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
            return [Check("cluster", "failed", f"{address}: {told}", fix)]
        try:
            return cluster_checks(node_reports(storage), own_report(), storage)
        finally:
            if not there_already:
                ray.shutdown()


def unreachable(address: str) -> str:
    """Why nobody listens at an address of the form host:port; empty if somebody does, or it has another form."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


class Probe:
    """The actor on one node."""

    def about(self) -> dict[str, Any]:
        """What the node says of itself."""
        return {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "versions": installed_packages(),
            "devices": found_devices(),
            "token": token_asked(),
            "shared_memory": shared_memory_bytes(),
        }

    def clock(self) -> float:
        """The time here."""
        return time.time()

    def write(self, folder: str, name: str) -> str:
        """Put a file there; why that failed, or nothing."""
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_text(name)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def read(self, folder: str, names: list[str]) -> list[str]:
        """The files of these names that are there and hold what was put there. NFS may show them seconds later."""
        found: list[str] = []
        deadline = time.monotonic() + 5
        while len(found) < len(names) and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                os.listdir(folder)
            found = [name for name in names if content(Path(folder, name)) == name]
            time.sleep(0 if len(found) == len(names) else 0.5)
        return found

    def remove(self, folder: str) -> None:
        """Take the files away."""
        shutil.rmtree(folder, ignore_errors=True)

    def listen(self) -> int:
        """Answer on a port that the system chooses; its number."""
        server = socket.create_server(("", 0))
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        return int(server.getsockname()[1])

    def connect(self, places: list[tuple[str, int]]) -> list[str]:
        """Those of the places that do not answer."""
        return [f"{host}:{port}" for host, port in places if unreachable(f"{host}:{port}")]


def content(path: Path) -> str:
    """What a file holds; nothing where it is not there."""
    try:
        return path.read_text()
    except OSError:
        return ""


def accept(server: socket.socket) -> None:
    """Take connections and close them."""
    while True:
        connection, _ = server.accept()
        connection.close()


def token_asked() -> bool:
    """Whether this process's Ray asks for a token."""
    with contextlib.suppress(Exception):
        from ray._private.authentication.authentication_utils import is_token_auth_enabled

        return bool(is_token_auth_enabled())
    return os.environ.get("RAY_AUTH_MODE", "") == "token"


def shared_memory_bytes() -> int:
    """The size of /dev/shm; of the memory where there is none (macOS)."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage("/dev/shm").total
    return 2**40


def own_report() -> NodeReport:
    """The driver, as a node would say it."""
    return NodeReport("driver", "", socket.gethostname(), platform.python_version(), installed_packages())


def node_reports(storage: str | None) -> list[NodeReport]:
    """A report of each living node."""
    untyped: Any = ray
    nodes = [node for node in untyped.nodes() if node["Alive"]]
    actor: Any = ray.remote(Probe)
    probes, reports = {}, {}
    for number, node in enumerate(nodes):
        name = f"{node['NodeManagerAddress']}#{number}"
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        probes[name] = actor.options(num_cpus=0, max_restarts=0, scheduling_strategy=there).remote()
        share = node["Resources"]
        blank = NodeReport(name, node["NodeManagerAddress"], cpus=share.get("CPU", 0.0), gpus=share.get("GPU", 0.0))
        reports[name] = blank
    asked = {name: probe.about.remote() for name, probe in probes.items()}
    deadline = time.monotonic() + PATIENCE
    for name, answer in asked.items():
        try:
            about = ray.get(answer, timeout=max(1.0, deadline - time.monotonic()))
            reports[name] = replace(reports[name], **about)
        except Exception as error:
            last = [line for line in str(error).splitlines() if line.strip()][-1:]
            told = (last or [type(error).__name__])[0].strip()[:200]
            reports[name] = replace(reports[name], error=told)
    answering = {name: probe for name, probe in probes.items() if not reports[name].error}
    for name, probe in answering.items():
        skew, round_trip = clock_of(probe)
        reports[name] = replace(reports[name], skew=skew, round_trip=round_trip)
    look_at_storage(answering, reports, storage)
    look_at_ports(answering, reports, nodes)
    for probe in probes.values():
        ray.kill(probe)
    return list(reports.values())


def clock_of(probe: Any) -> tuple[float, float]:
    """(how far a clock is ahead of ours, the median round trip). The middle of the quickest of some calls is taken."""
    found = []
    for _ in range(PINGS):
        before, started = time.time(), time.monotonic()
        there = ray.get(probe.clock.remote(), timeout=PATIENCE)
        took = time.monotonic() - started
        found.append((took, there - (before + took / 2)))
    quickest = min(found)
    # Within half a round trip nothing can be said.
    skew = quickest[1] if abs(quickest[1]) > quickest[0] / 2 else 0.0
    return skew, statistics.median(took for took, _ in found)


def look_at_storage(probes: dict[str, Any], reports: dict[str, NodeReport], storage: str | None) -> None:
    """Write on every node, then read on every node."""
    if storage is None:
        return
    folder = str(Path(storage) / f".raycon-doctor-{uuid.uuid4().hex[:8]}")
    names = list(probes)
    problems = ray.get([probes[name].write.remote(folder, name) for name in names])
    wrote = [name for name, problem in zip(names, problems, strict=True) if not problem]
    seen = ray.get([probes[name].read.remote(folder, wrote) for name in names])
    for name, problem, sees in zip(names, problems, seen, strict=True):
        reports[name] = replace(reports[name], storage_error=problem, sees=tuple(sees))
    ray.get([probe.remove.remote(folder) for probe in probes.values()])


def look_at_ports(probes: dict[str, Any], reports: dict[str, NodeReport], nodes: Sequence[dict[str, Any]]) -> None:
    """Connect each node with those that follow it: Ray's own ports, and one that the system chose."""
    names = list(probes)
    chosen = dict(zip(names, ray.get([probes[name].listen.remote() for name in names]), strict=True))
    fixed = {f"{node['NodeManagerAddress']}#{number}": node for number, node in enumerate(nodes)}
    asked = []
    for place, name in enumerate(names):
        following = [names[(place + step) % len(names)] for step in range(1, min(NEIGHBOURS, len(names) - 1) + 1)]
        ports = [
            (reports[other].address, port)
            for other in following
            for port in (fixed[other]["NodeManagerPort"], fixed[other]["ObjectManagerPort"], chosen[other])
        ]
        asked.append(probes[name].connect.remote(ports))
    for name, lost in zip(names, ray.get(asked), strict=True):
        reports[name] = replace(reports[name], unreachable=tuple(lost))
