"""A Ray cluster on hosts made of namespaces, brought up by `ray up` with the shipped cluster.local.yaml."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from raycon.errors import RayconError
from raycon.history import SweepHistory, read_sweep
from raycon.object_storage import read_text
from tests.hosts.namespaces import HOME, ROOT, Hosts, network

SHIPPED = "cluster.local.yaml"
HEAD, WORKERS = "head", ("one", "two")

FAST_DETECTION = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}
"""A host that falls silent is given up after about 3 s if the network says that it is gone, after about 20 s if nobody
says anything, and not after a minute. For the head's start command."""

FIXED_PORTS = (
    "--dashboard-agent-listen-port=52365 --dashboard-agent-grpc-port=52366 --runtime-env-agent-port=52367"
    " --metrics-export-port=52368"
)
"""With ports of its own choice a raylet waits for its agents to tell them, for 15 s; on a slow machine it then dies."""

NODES = """
import json, os, urllib.request
token = open(os.path.expanduser("~/.ray/auth_token")).read().strip()
request = urllib.request.Request(
    "http://127.0.0.1:8265/api/v0/nodes?detail=1&limit=100", headers={"Authorization": "Bearer " + token}
)
answer = json.load(urllib.request.urlopen(request, timeout=20))
found = answer["data"]["result"]["result"]
print("NODES", json.dumps([[n["node_ip"], n["state"], n.get("resources_total") or {}] for n in found]))
"""
"""What the dashboard of the head says of the nodes, without starting a Ray client."""


class RayCluster:
    """A head and two more hosts. `cpus` are what Ray may use on the head and on each of the others."""

    def __init__(self, hosts: Hosts, cpus: tuple[int, int] = (0, 1)):
        self.hosts, self.cpus = hosts, cpus
        self.file = hosts.folder / "cluster.yaml"

    def up(self, patience: float = 600.0) -> None:
        """Start the hosts that are not there and Ray on all of them; returns when all have joined."""
        for name in (HEAD, *WORKERS):
            if name not in self.hosts.hosts or not self.hosts.hosts[name].alive:
                self.hosts.start(name)
        self.file.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        token = Path(self.hosts.settings["HOME"]) / ".ray" / "auth_token"
        token.parent.mkdir(exist_ok=True)
        shutil.copy(self.hosts.token, token)
        self._try_up(patience)
        self.wait_for_hosts(*WORKERS, patience=patience)

    def _try_up(self, patience: float, times: int = 3) -> None:
        """`ray up`; again where a slow machine is not ready within the half minute that Ray gives it."""
        for left in reversed(range(times)):
            command = ["ray", "up", "-y", "--no-config-cache", str(self.file)]
            done = self.hosts.run(command, folder=ROOT, timeout=patience, check=not left)
            if done.returncode == 0:
                return

    def down(self, patience: float = 400.0) -> None:
        """End Ray on the head, or what the client remembers of one that was lost."""
        self.hosts.run(["ray", "down", "-y", str(self.file)], folder=ROOT, timeout=patience)

    def config(self) -> dict[str, Any]:
        """cluster.local.yaml with the addresses, the key and the storage of these hosts. Its environment is the one
        that runs this test, under the name that the file gives it, and the package is found on the path: nothing can be
        downloaded here, and `tests/cluster/test_loopback.py` tries the installation."""
        text = (ROOT / SHIPPED).read_text().replace("/srv/raycon", str(self.hosts.shared))
        config: dict[str, Any] = yaml.safe_load(text)
        config["provider"]["head_ip"] = self.hosts.addresses[HEAD]
        config["provider"]["worker_ips"] = [self.hosts.addresses[name] for name in WORKERS]
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.hosts.key)}
        setup = [command for command in config["setup_commands"] if "pip install" not in command]
        path = "echo 'export PYTHONPATH=~/raycon' >> ~/.raycon.sh"
        config["setup_commands"] = [f"ln -sfn {sys.prefix} ~/raycon-venv", *setup, path]
        settings = " ".join(f"{name}={value}" for name, value in FAST_DETECTION.items())
        for kind, cpus in zip(("head", "worker"), self.cpus, strict=True):
            commands = config[f"{kind}_start_ray_commands"]
            config[f"{kind}_start_ray_commands"] = [
                command.replace("ray start", f"{settings} ray start") + f" --num-cpus={cpus} {FIXED_PORTS}"
                if command.startswith("ray start")
                else command
                for command in commands
            ]
        return config

    def nodes(self) -> list[tuple[str, str, dict[str, float]]]:
        """(address, ALIVE or DEAD, resources) of every node that the head has seen; empty where it does not answer."""
        said = self.hosts.ssh(HEAD, f"{sys.prefix}/bin/python -c {json_quoted(NODES)}", timeout=90, check=False)
        line = next((line for line in said.splitlines() if line.startswith("NODES ")), None)
        return [] if line is None else [tuple(node) for node in json.loads(line.removeprefix("NODES "))]

    def alive(self) -> set[str]:
        """The names of the hosts whose nodes are alive."""
        names = {address: name for name, address in self.hosts.addresses.items()}
        return {names[address] for address, state, _ in self.nodes() if state == "ALIVE"}

    def wait_for_hosts(self, *names: str, patience: float = 300.0) -> float:
        """Wait until these hosts are nodes of the cluster, and say how long it took. The autoscaler does not try again
        where Ray could not be started on a slow machine: then this does, with the same command."""
        began = time.monotonic()
        while missing := set(names) - self.alive():
            if time.monotonic() - began > patience:
                raise AssertionError(f"{missing} did not join within {patience:g} s")
            for name in filter(self._died_at_start, sorted(missing)):
                self.start_by_hand(name)
            time.sleep(1.0)
        return time.monotonic() - began

    def _died_at_start(self, name: str) -> bool:
        """Whether the raylet of a host has given up waiting for its own agents."""
        line = "grep -qs 'Check failed.*Timed out' /tmp/ray/session_latest/logs/raylet.out && echo yes"
        return self.hosts.ssh(name, line, check=False).strip() == "yes"

    def start_by_hand(self, name: str) -> None:
        """What the autoscaler does to start Ray on a worker."""
        for command in self.config()["worker_start_ray_commands"]:
            line = command.replace("$RAY_HEAD_IP", self.hosts.addresses[HEAD])
            self.hosts.ssh(name, line, timeout=400, check=False)

    def command(self, *arguments: str) -> list[str]:
        """The `ray submit` of a raycon command."""
        return ["ray", "submit", "--no-config-cache", str(self.file), "submit.py", "--", *arguments]

    @contextlib.contextmanager
    def submitted(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """`ray submit` of a raycon command while the block runs; what it says goes to a file (`words`)."""
        with self.words.open("ab") as words:
            process = self.hosts.popen(self.command(*arguments), folder=ROOT, stdout=words)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def words(self) -> Path:
        """All that submitted commands said, for whoever reads a failure."""
        return self.hosts.folder / "submitted.txt"

    @property
    def store(self) -> str:
        """A tracking store that outlives the head."""
        return f"sqlite:///{self.hosts.shared / 'mlflow.db'}"

    def out(self, name: str) -> Path:
        """The folder of a sweep on the disk of the present head."""
        return self.hosts.hosts[HEAD].folder / "home" / "raycon_out" / name

    def history(self, name: str) -> SweepHistory | None:
        """The sweep as its log on the present head tells it, if there is one."""
        with contextlib.suppress(RayconError):
            return read_sweep(self.out(name))
        return None

    def process(self, host: str, pid: int) -> psutil.Process:
        """The process that has this number on that host."""
        for process in self.hosts.processes(host):
            with contextlib.suppress(OSError, psutil.Error):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                numbers = next(line for line in lines if line.startswith("NSpid:")).split()
                if int(numbers[-1]) == pid:
                    return process
        raise AssertionError(f"no process {pid} on {host}")


def json_quoted(code: str) -> str:
    """Code as one word of the shell."""
    return "'" + code.strip().replace("'", "'\\''") + "'"


@contextlib.contextmanager
def three_hosts(folder: Path, cpus: tuple[int, int] = (0, 1)) -> Iterator[RayCluster]:
    """A running cluster of three hosts."""
    with network(folder) as hosts:
        cluster = RayCluster(hosts, cpus)
        cluster.up()
        yield cluster


def skip_unless(reason: str) -> None:
    """Skip, and say so on the terminal, where hosts cannot be made."""
    if reason:
        print(f"\nNOT TRIED over ssh: {reason}", file=sys.stderr)
        pytest.skip(reason)


def space(name: str, *, data: str, epochs: int, trials: int, **changes: Any) -> dict[str, Any]:
    """A small search whose runs take seconds, as the content of a file. `changes` go into `sweep`."""
    return {
        "name": name,
        "trial": {
            "data": {"dataset": data, "train_size": 600, "validation_size": 200},
            "encoder": {"name": "convnet", "width": 8, "depth": 3, "projection": [32, 16]},
            "objective": {"supcon": {"temperature": {"log_uniform": [0.05, 0.5]}}},
            "training": {"epochs": epochs, "batch_size": 100, "learning_rate": 0.01, "score_every": 1},
            "scores": ["nearest_neighbours"],
        },
        "sweep": {
            "maximize": "validation/nearest_neighbours/accuracy",
            "trials": trials,
            "sampler": "random",
            **changes,
        },
    }


def outcome(history: SweepHistory) -> list[tuple[Any, ...]]:
    """All that must not depend on where a sweep ran or what was lost meanwhile: values, states and scores of every
    epoch, and the checksum of the last weights."""
    found: list[tuple[Any, ...]] = []
    for run in history.runs:
        scores = {
            epoch: {name: value for name, value in metrics.items() if not name.startswith("train/speed/")}
            for epoch, metrics in sorted(run.epochs.items())
        }
        manifest = json.loads(read_text(run.checkpoint or "", "manifest.json"))
        found.append((run.key, run.values, run.state, scores, manifest["sha256"]))
    return found


__all__ = ["HEAD", "HOME", "WORKERS", "RayCluster", "outcome", "skip_unless", "space", "three_hosts"]
