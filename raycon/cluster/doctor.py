"""Asking every node of a cluster how it is: one small actor a node that looks, writes, listens and connects.

Whatever an actor is asked has a limit, and the doctor waits for none to end: a call into a file system that hangs
cannot be broken off, and neither can a process that is in one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import platform
import secrets
import shutil
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raycon.cluster.session import QUIET, environment, token_file
from raycon.diagnosis import Check, NodeReport, cluster_checks, found_devices, installed_packages
from raycon.object_storage import join, read_text, remove_tree, write_text

PATIENCE = 60.0
"""Seconds for a node to start its actor, which imports torch, and to tell of itself."""
STORAGE_PATIENCE = 30.0
"""Seconds for a node to write to the shared storage, and again to read there."""
HANGS = ": the storage hangs?"
CLOCK_PATIENCE = 10.0
PORTS_PATIENCE = 30.0
PINGS = 5
NEIGHBOURS = 16
"""Nodes that each node connects to; in larger clusters those that follow it."""
CONNECT_PATIENCE = 5.0
"""Seconds for one connection."""
THREADS = 4
"""Calls that an actor answers at the same time."""


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
            salt = secrets.token_hex(16)
            return cluster_checks(node_reports(storage, salt), own_report(salt), storage)
        finally:
            if not there_already:
                ray.shutdown()


def unreachable(address: str) -> str:
    """Why nobody listens at an address of the form host:port; empty if somebody does, or it has another form."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_PATIENCE).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


class Probe:
    """The actor on one node. Its calls have threads of their own: one that hangs holds up no other."""

    def about(self, salt: str) -> dict[str, Any]:
        """What the node says of itself."""
        return {
            **token_report(salt),
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
            write_text(folder, name, name)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def read(self, folder: str, names: list[str]) -> list[str]:
        """The files of these names that are there and hold what was put there. NFS may show them seconds later."""
        found: list[str] = []
        deadline = time.monotonic() + 5
        while len(found) < len(names) and time.monotonic() < deadline:
            found = [name for name in names if read_text(folder, name) == name]
            time.sleep(0 if len(found) == len(names) else 0.5)
        return found

    def remove(self, folder: str) -> None:
        """Take the files away."""
        remove_tree(folder)

    def listen(self) -> int:
        """Answer on a port that the system chooses; its number."""
        server = socket.create_server(("", 0))
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        return int(server.getsockname()[1])

    def connect(self, places: list[tuple[str, int]]) -> list[str]:
        """Those of the places that do not answer."""
        names = [f"{host}:{port}" for host, port in places]
        with ThreadPoolExecutor(len(names) or 1) as pool:
            return [name for name, problem in zip(names, pool.map(unreachable, names), strict=True) if problem]


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


def token_report(salt: str) -> dict[str, Any]:
    """The file of the token, its mode where others can read it, and a hash that tells tokens apart and not what they
    are: the salt is another each time."""
    found: dict[str, Any] = {}
    file = token_file()
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    with contextlib.suppress(OSError):
        if file is not None:
            token, mode = file.read_text().strip(), file.stat().st_mode & 0o777
            found = {"token_file": str(file), "token_mode": f"{mode:04o}" if mode & 0o077 else ""}
    if not token:
        return found
    return {**found, "token_hash": hmac.new(salt.encode(), token.encode(), hashlib.sha256).hexdigest()}


def shared_memory_bytes() -> int:
    """The size of /dev/shm; of the memory where there is none (macOS)."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage("/dev/shm").total
    return 2**40


def own_report(salt: str) -> NodeReport:
    """The driver, as a node would say it."""
    plain = NodeReport("driver", "", socket.gethostname(), platform.python_version(), installed_packages())
    return replace(plain, **token_report(salt))


def node_reports(storage: str | None, salt: str) -> list[NodeReport]:
    """A report of each living node."""
    untyped: Any = ray
    nodes = [node for node in untyped.nodes() if node["Alive"]]
    actor: Any = ray.remote(Probe)
    probes, reports = {}, {}
    for number, node in enumerate(nodes):
        name = f"{node['NodeManagerAddress']}#{number}"
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        probes[name] = actor.options(
            num_cpus=0, max_restarts=0, max_concurrency=THREADS, scheduling_strategy=there
        ).remote()
        share = node["Resources"]
        blank = NodeReport(name, node["NodeManagerAddress"], cpus=share.get("CPU", 0.0), gpus=share.get("GPU", 0.0))
        reports[name] = blank
    told, silent = answers({name: probe.about.remote(salt) for name, probe in probes.items()}, PATIENCE)
    for name, about in told.items():
        reports[name] = replace(reports[name], **about)
    for name, reason in silent.items():
        reports[name] = replace(reports[name], error=reason)
    answering = {name: probe for name, probe in probes.items() if name in told}
    look_at_clocks(answering, reports)
    look_at_storage(answering, reports, storage)
    look_at_ports(answering, reports, nodes)
    for probe in probes.values():
        ray.kill(probe)
    return list(reports.values())


def answers(asked: Mapping[str, Any], patience: float, why: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """What the nodes answer within so many seconds, all together, and why the others do not. why: a guess at that."""
    if not asked:
        return {}, {}
    done, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=patience)
    told, silent = {}, {}
    for name, answer in asked.items():
        if answer not in done:
            silent[name] = f"did not answer within {patience:g} s{why}"
            continue
        try:
            told[name] = ray.get(answer)
        except Exception as error:
            last = [line for line in str(error).splitlines() if line.strip()][-1:]
            silent[name] = (last or [type(error).__name__])[0].strip()[:200]
    return told, silent


def look_at_clocks(probes: Mapping[str, Any], reports: dict[str, NodeReport]) -> None:
    """How far each clock is ahead of ours, and the median round trip. The middle of the quickest of some calls is
    taken."""
    for name, probe in probes.items():
        found = []
        for _ in range(PINGS):
            before, started = time.time(), time.monotonic()
            told, silent = answers({name: probe.clock.remote()}, CLOCK_PATIENCE)
            took = time.monotonic() - started
            if silent:
                reports[name] = replace(reports[name], error=f"its clock: {silent[name]}")
                break
            found.append((took, told[name] - (before + took / 2)))
        if not found:
            continue
        quickest = min(found)
        # Within half a round trip nothing can be said.
        skew = quickest[1] if abs(quickest[1]) > quickest[0] / 2 else 0.0
        reports[name] = replace(reports[name], skew=skew, round_trip=statistics.median(took for took, _ in found))


def look_at_storage(probes: Mapping[str, Any], reports: dict[str, NodeReport], storage: str | None) -> None:
    """Write on every node, then read on every node that could. A node whose storage hangs holds up no other."""
    if storage is None:
        return
    folder = join(storage, f".raycon-doctor-{uuid.uuid4().hex[:8]}")
    writing = {name: probe.write.remote(folder, name) for name, probe in probes.items()}
    problems, stuck = answers(writing, STORAGE_PATIENCE, HANGS)
    wrote = [name for name, problem in problems.items() if not problem]
    reading = {name: probes[name].read.remote(folder, wrote) for name in problems}
    seen, hanging = answers(reading, STORAGE_PATIENCE, HANGS)
    for name in probes:
        silent = {**stuck, **hanging}.get(name, "")
        problem, sees = problems.get(name, ""), tuple(seen.get(name, ()))
        reports[name] = replace(reports[name], storage_silence=silent, storage_error=problem, sees=sees)
    answers({name: probes[name].remove.remote(folder) for name in seen}, STORAGE_PATIENCE)


def look_at_ports(probes: Mapping[str, Any], reports: dict[str, NodeReport], nodes: Sequence[dict[str, Any]]) -> None:
    """Connect each node with those that follow it: Ray's own ports, and one that the system chose."""
    chosen, _ = answers({name: probe.listen.remote() for name, probe in probes.items()}, PORTS_PATIENCE)
    names = list(chosen)
    fixed = {f"{node['NodeManagerAddress']}#{number}": node for number, node in enumerate(nodes)}
    asked = {}
    for place, name in enumerate(names):
        following = [names[(place + step) % len(names)] for step in range(1, min(NEIGHBOURS, len(names) - 1) + 1)]
        ports = [
            (reports[other].address, port)
            for other in following
            for port in (fixed[other]["NodeManagerPort"], fixed[other]["ObjectManagerPort"], chosen[other])
        ]
        asked[name] = probes[name].connect.remote(ports)
    told, _ = answers(asked, PORTS_PATIENCE)
    for name in probes:
        if name in told:
            reports[name] = replace(reports[name], unreachable=tuple(told[name]))
        elif not reports[name].error:
            silence = reports[name].storage_silence or f"did not tell of its ports within {PORTS_PATIENCE:g} s"
            reports[name] = replace(reports[name], error=silence)
