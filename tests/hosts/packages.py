"""Programs from the distribution's packages, installed where they are missing, without starting their services."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
POLICY = Path("/usr/sbin/policy-rc.d")


def find(name: str) -> str | None:
    """The path of a program, in the system's folders as well, which the PATH of a user may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM}")


def install_missing(packages: Mapping[str, str]) -> list[str]:
    """Have apt-get install the packages of the programs that are not there (program: package), and say which programs
    are missing after that. Without apt-get, or without root, nothing is installed."""
    wanted = sorted({package for name, package in packages.items() if find(name) is None})
    if wanted and shutil.which("apt-get") is not None and os.geteuid() == 0:
        with services_stay_off():
            _install(wanted)
    return [name for name in packages if find(name) is None]


def _install(packages: list[str]) -> None:
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (install, ["apt-get", "update"], install):
        try:
            done = subprocess.run(command, env=settings, capture_output=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            return
        if done.returncode == 0 and command is install:
            return


@contextlib.contextmanager
def services_stay_off() -> Iterator[None]:
    """Debian asks /usr/sbin/policy-rc.d before it starts the service of a package; while the block runs the answer is
    no, so that no test leaves an sshd or a Slurm behind on the machine. A policy that is there stays in force."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
