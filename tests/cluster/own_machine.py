"""A command in namespaces of its own: it meets no process, port, Ray or Slurm of the machine and leaves none behind."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import unavailable

ADDRESS = "10.78.0.1"

PREPARE = f"""
set -eu
ip link set lo up
ip link add own0 type veth peer name own1
ip addr add {ADDRESS}/24 dev own0
ip link set own0 up
ip link set own1 up
ip route add default dev own0
mount -t tmpfs tmpfs /dev/shm
mkdir -p /tmp/ray
mount -t tmpfs tmpfs /tmp/ray
hostname own
mount --bind "$1/hosts" /etc/hosts
if [ -e /etc/resolv.conf ]; then mount --bind "$1/resolver" /etc/resolv.conf; fi
"""
"""A network of its own with one address and a default route, by which Ray finds that address; no name server."""


def skip_without_namespaces() -> None:
    """Skip the test, saying why, where this user or system cannot make namespaces."""
    if reason := unavailable():
        pytest.skip(f"SKIPPED FOR REAL: {reason}")


def on_own_machine(folder: Path, script: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a bash script there; `folder` is for its output and everything else. Ends it after `seconds`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} own\n")
    (folder / "resolver").write_text("nameserver 127.0.0.1\n")
    (folder / "script").write_text(PREPARE + script)
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM"))}
    settings |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    settings |= {"PYTHONPATH": str(Path.cwd()), "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    flags = ["--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child"]
    inner = ["bash", str(folder / "script"), str(folder)]
    with (folder / "output").open("w") as output, (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *flags, *inner], stdout=output, stderr=errors, env=settings
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            process.kill()
            process.wait()
    told, complaints = ((folder / name).read_text() for name in ("output", "errors"))
    return subprocess.CompletedProcess(shlex.join(inner), code, told, complaints)
