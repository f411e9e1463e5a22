"""Whether this machine can be cut into hosts; what is missing is installed from the distribution's packages."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from tests.hosts.packages import find, install_missing

PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "ip": "iproute2"}
TOOLS = ("unshare", "nsenter", "setpriv", "mount", "bash")

PROBE = """
set -eu
ip link set lo up
ip link add probe0 type bridge
ip link add probe1 type veth peer name probe2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" "$1"
"""
"""One of each thing that a host is made of, in namespaces that end with the script."""


@functools.cache
def unavailable() -> str:
    """Why hosts cannot be made here, in one line; empty where they can. Installs openssh-server, rsync and iproute2
    where they are missing and apt-get is there. RAYCON_TEST_HOSTS=none has the tests do without."""
    if os.environ.get("RAYCON_TEST_HOSTS") == "none":
        return "RAYCON_TEST_HOSTS=none"
    if sys.platform != "linux":
        return f"namespaces are Linux's; this is {sys.platform}"
    if os.geteuid() != 0:
        return "hosts as namespaces need root (sudo env PATH=$PATH python -m pytest ...)"
    missing = [*install_missing(PACKAGES), *(name for name in TOOLS if find(name) is None)]
    if missing:
        return f"not installed, and not to be had by apt-get: {', '.join(missing)}"
    command = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    probe = subprocess.run(
        [*command, "bash", "-c", PROBE, "probe", sys.prefix], capture_output=True, text=True, timeout=60, check=False
    )
    said = probe.stderr.strip().splitlines()
    return "" if probe.returncode == 0 else f"namespaces are not permitted: {said[-1] if said else probe.returncode}"
