"""Three raylets on this machine (`ray.cluster_utils.Cluster`), for machines that do not permit namespaces.

They stand in for hosts where Ray is concerned; ssh, `ray up` and `ray submit` are not tried with them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from raycon.errors import RayconError
from raycon.events import Event, parse
from raycon.history import LOG_NAME, SweepHistory, read_sweep
from tests.hosts.clusters import FAST_DETECTION
from tests.hosts.namespaces import ROOT
from tests.waiting import wait_until

MAIN = "from raycon.cli import main; main()"


class OneMachine:
    """A head and two more raylets. Sweeps are programs of their own that attach to them."""

    def __init__(self, folder: Path, cluster: Any):
        self.folder, self.cluster = folder, cluster
        self.words = folder / "words.txt"
        self.seen: dict[tuple[str, int], str] = {}

    @contextlib.contextmanager
    def started(self, content: dict[str, Any], slots: int) -> Iterator[subprocess.Popen[bytes]]:
        """A sweep while the block runs."""
        path = self.folder / f"{content['name']}.yaml"
        path.write_text(yaml.safe_dump(content))
        options = ["--slots", str(slots), "--tracking", "off", "--json", "--out", str(self.folder / "out")]
        settings = {"RAY_ADDRESS": self.cluster.address, "PYTHONPATH": str(ROOT)}
        with self.words.open("ab") as words:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "sweep", str(path), *options],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def sweep(self, content: dict[str, Any], slots: int, patience: float = 600.0) -> SweepHistory:
        """A sweep to its end, while it is noted which raylet its processes belong to."""

        def ended() -> bool:
            self.nodes_of(content["name"], "")
            return process.poll() is not None

        with self.started(content, slots) as process:
            wait_until(ended, patience, f"the end of {content['name']}", words=self.words)
        assert process.returncode == 0, self.words.read_text(errors="replace")[-6000:]
        return read_sweep(self.folder / "out" / content["name"])

    def events(self, name: str) -> list[Event]:
        """The log of a sweep, as far as it goes."""
        log = self.folder / "out" / name / LOG_NAME
        with contextlib.suppress(RayconError, OSError):
            return parse(log.read_bytes())[0]
        return []

    def nodes_of(self, name: str, role: str) -> list[str]:
        """The raylets, by process number, that the recorded processes of a role belong to, as far as they were alive
        when this was asked; without repetition, newest last."""
        found: dict[str, None] = {}
        for event in self.events(name):
            if event.kind != "process" or not event["role"].startswith(role):
                continue
            place = (name, event["pid"])
            with contextlib.suppress(psutil.Error):
                if place not in self.seen:
                    self.seen[place] = psutil.Process(event["pid"]).environ().get("RAY_RAYLET_PID", "")
            raylet = self.seen.get(place, "")
            if raylet:
                found.pop(raylet, None)
                found[raylet] = None
        return list(found)

    def lose(self, raylet: str) -> None:
        """SIGKILL a raylet and all that belongs to it, as if its host were gone."""
        node = next(node for node in self.cluster.worker_nodes if raylet_of(node) == raylet)
        workers = [process for process in psutil.process_iter() if belongs(process, raylet)]
        self.cluster.remove_node(node, allow_graceful=False)
        for process in workers:
            with contextlib.suppress(psutil.Error):
                process.kill()


def raylet_of(node: Any) -> str:
    """The number of the raylet's process of a node."""
    return str(node.all_processes["raylet"][0].process.pid)


def belongs(process: psutil.Process, raylet: str) -> bool:
    """Whether a process was started by that raylet, which runs."""
    try:
        return process.environ().get("RAY_RAYLET_PID") == raylet
    except psutil.Error:
        return False


@contextlib.contextmanager
def three_nodes(folder: Path, cpus: tuple[int, int] = (0, 1)) -> Iterator[OneMachine]:
    """A running cluster of three raylets."""
    from ray.cluster_utils import Cluster

    for name, value in FAST_DETECTION.items():
        os.environ.setdefault(name, value)
    cluster: Any = Cluster()
    try:
        cluster.add_node(wait=False, num_cpus=cpus[0], include_dashboard=True, dashboard_host="127.0.0.1")
        for _ in range(2):
            cluster.add_node(wait=False, num_cpus=cpus[1])
        cluster.wait_for_nodes(timeout=300)
        yield OneMachine(folder, cluster)
    finally:
        cluster.shutdown()
        for name in FAST_DETECTION:
            os.environ.pop(name, None)
