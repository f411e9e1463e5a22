"""Hosts as namespaces: started, cut off, killed, brought back; and commands run at their client.

One outer set of namespaces holds the client and, in net mode, the bridge; each host has a set of its own within it. The
chain test process -> nsenter or unshare -> first process of a namespace is tied together by death signals, so the end
of the test process, however it comes, ends the outer namespace and all that is in it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from tests.hosts.available import unavailable
from tests.hosts.packages import SYSTEM, find

ROOT = Path(__file__).parents[2]
HOME = pwd.getpwuid(0).pw_dir
CLIENT = "10.77.0.1"
TIED = ["setpriv", "--pdeathsig", "KILL"]

PRIVATE = """
private() {  # TARGET STASH MODE KEPT...: an empty folder over TARGET in which the kept folders are where they were
  local target=$1 stash=$2 mode=$3; shift 3
  mkdir -p "$stash"; chmod "$mode" "$stash"
  for kept in "$@"; do
    case "$kept" in "$target"/*)
      mkdir -p "$stash${kept#"$target"}"
      mount --rbind "$kept" "$stash${kept#"$target"}";;
    esac
  done
  mount --rbind "$stash" "$target"
}
"""

CLIENT_INIT = """
set -eu
own=$1; shift
ip link set lo up
private /tmp "$own/tmp" 1777 "$@"
mount -t tmpfs tmpfs /dev/shm
mount --bind "$own/hosts" /etc/hosts
if [ -e /etc/resolv.conf ]; then mount --bind "$own/resolver" /etc/resolv.conf; fi
touch "$own/ready"
exec sleep infinity
"""

HOST_INIT = """
set -eu
own=$1 home=$2 venv=$3 name=$4 names=$5; shift 5
hostname "$name"
private /tmp "$own/tmp" 1777 "$@"
private "$home" "$own/home" 700 "$@"
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd "$own/venv"
mount -t tmpfs tmpfs "$own/venv"
mkdir "$own/venv/upper" "$own/venv/work"
mount -t overlay overlay -o "lowerdir=$venv,upperdir=$own/venv/upper,workdir=$own/venv/work" "$venv"
mount --bind "$names" /etc/hosts
touch "$own/ready"
until [ -e "$own/wired" ]; do sleep 0.05; done
cd /
exec "$(command -v sshd)" -D -e -f "$own/sshd_config"
"""

SSHD = """\
Port {port}
ListenAddress {address}
HostKey {keys}/host_key
PidFile none
AuthorizedKeysFile {keys}/key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
Subsystem sftp internal-sftp
MaxStartups 100
MaxSessions 100
"""


@dataclass
class Host:
    """One host. `init` is the first process of its namespaces, seen from outside; `folder` is its own disk."""

    name: str
    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    init: psutil.Process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None and self.init.is_running() and self.init.status() != psutil.STATUS_ZOMBIE


class Hosts:
    """The hosts of one test. Made by `network` and `loopback`.

    `folder` is on the disk of this machine and all hosts and the client see it under the same path; so `shared`, in it,
    stands for a storage that all hosts reach. The hosts have their own home and /tmp besides, empty after each start,
    and their own writable view of the virtual environment that runs the test. `key` is the private key that all of them
    accept for root; `settings` is the environment of the client.
    """

    def __init__(self, folder: Path, mode: Literal["network", "loopback"], port: int = 22):
        self.folder, self.mode, self.port = folder.resolve(), mode, port
        self.shared = self.folder / "shared"
        self.key = self.folder / "key"
        self.token = self.folder / "auth_token"
        self.hosts: dict[str, Host] = {}
        self.addresses: dict[str, str] = {}
        self.starts = 0
        self.settings: dict[str, str] = {
            "HOME": str(self.folder / "client" / "home"),
            "USER": "root",
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{SYSTEM}",
            "PYTHONUNBUFFERED": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        if mode == "network":
            # Under version 2 the local provider starts one of several workers only.
            self.settings["RAY_UP_enable_autoscaler_v2"] = "0"

    def open(self) -> None:
        """Make keys, the client's namespaces and the bridge."""
        client = self.folder / "client"
        for path in (self.shared, client / "home"):
            path.mkdir(parents=True, exist_ok=True)
        for name in ("key", "host_key"):
            if not (self.folder / name).exists():
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)])
        self.token.write_text(os.urandom(32).hex())
        self.token.chmod(0o600)
        # Nobody is asked for other names: this answers at once that there is no server.
        (client / "resolver").write_text("nameserver 127.0.0.1\n")
        self._write_names()
        flags = ["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        script = ["bash", "-c", PRIVATE + CLIENT_INIT, "client", str(client), *self.kept]
        self.outer = detached([*TIED, "unshare", *flags, *script], client / "output")
        self.init = first_process(self.outer, client)
        if self.mode == "network":
            self.wire("ip link add bridge0 type bridge")
            self.wire(f"ip addr add {CLIENT}/24 dev bridge0")
            self.wire("ip link set bridge0 up")

    def close(self) -> None:
        """End the client's namespaces, and with them every host and whatever else runs in them."""
        self.outer.kill()
        self.outer.wait()
        with contextlib.suppress(psutil.Error):
            self.init.wait(30)
        for host in self.hosts.values():
            host.process.wait()

    @property
    def kept(self) -> list[str]:
        """Folders that stay where they are, even where a home or /tmp of a host's own would hide them."""
        paths = [Path(sys.base_prefix), Path(sys.prefix), ROOT, self.folder]
        return list(dict.fromkeys(str(path) for pair in paths for path in (pair, pair.resolve())))

    def start(self, name: str, address: str | None = None, *, disk: Literal["new", "kept"] = "new") -> Host:
        """Start a host, or one of that name anew after it was killed: another machine with an empty home, or the same
        one with the home that it had (`disk`), as after a power cut. /tmp is empty either way. It answers to ssh when
        this returns. By default hosts get 10.77.0.10 and up, and keep what they have got."""
        if name in self.hosts and self.hosts[name].alive:
            raise RuntimeError(f"host {name} runs")
        default = "127.0.0.1" if self.mode == "loopback" else f"10.77.0.{10 + len(self.addresses)}"
        place = self.addresses.setdefault(name, address or default)
        self._write_names()
        self.starts += 1
        own = self.folder / "hosts" / f"{name}-{self.starts}"
        own.mkdir(parents=True)
        if disk == "kept":
            (self.hosts[name].folder / "home").rename(own / "home")
        (own / "sshd_config").write_text(SSHD.format(port=self.port, address=place, keys=self.folder))
        flags = ["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        flags += ["--net"] if self.mode == "network" else []
        script = ["bash", "-c", PRIVATE + HOST_INIT, "host", str(own), HOME, sys.prefix, name]
        script += [str(self.folder / "client" / "hosts"), *self.kept]
        process = detached([*self._enter(), *TIED, "unshare", *flags, *script], own / "output")
        host = self.hosts[name] = Host(name, place, own, process, first_process(process, own, depth=2))
        if self.mode == "network":
            self._plug_in(host)
        (own / "wired").touch()
        self._wait_for_ssh(host)
        return host

    def cut(self, name: str) -> None:
        """Pull the network cable: the host runs on, and nobody is told."""
        self.wire(f"ip link set cable-{name} down")

    def mend(self, name: str) -> None:
        """Put the cable back in."""
        self.wire(f"ip link set cable-{name} up")

    def kill(self, name: str) -> None:
        """SIGKILL the first process of a host, and so all of them: a power cut. Its cable goes with it."""
        host = self.hosts[name]
        with contextlib.suppress(psutil.Error):
            host.init.kill()
        host.process.wait()
        with contextlib.suppress(psutil.Error):
            host.init.wait(30)
        if self.mode == "network":
            # Connections that were open keep the network of a dead host for minutes, and with it the cable.
            with contextlib.suppress(AssertionError):
                self.wire(f"ip link del cable-{name}")

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes of a host, as this machine sees them, its first one included."""
        return [self.hosts[name].init, *self.hosts[name].init.children(recursive=True)]

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float = 600.0,
        check: bool = True,
        settings: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command at the client and return what it printed (both streams in `stdout`). Raises AssertionError with
        that text where it fails, unless `check` is False, or takes longer than `timeout` seconds."""
        process = self.popen(command, settings=settings, folder=folder, stdout=subprocess.PIPE)
        try:
            said = process.communicate(timeout=timeout)[0].decode(errors="replace")
        except subprocess.TimeoutExpired as error:
            process.kill()
            said = process.communicate()[0].decode(errors="replace")
            raise AssertionError(f"{shlex.join(command)}: over {timeout:g} s\n{said}") from error
        if check and process.returncode != 0:
            raise AssertionError(f"{shlex.join(command)}: exit code {process.returncode}\n{said}")
        return subprocess.CompletedProcess(list(command), process.returncode, said, "")

    def popen(
        self,
        command: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdout: Any = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a command at the client, both its streams going to `stdout`. It ends with the test process at the
        latest."""
        within = str(folder or self.folder)
        go = ["bash", "-c", 'cd "$1" && shift && exec "$@"', "client", within, *command]
        environment = {**self.settings, **(settings or {})}
        return subprocess.Popen(
            [*self._enter(), *TIED, *go],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )

    def ssh(self, name: str, command: str, *, timeout: float = 600.0, check: bool = True) -> str:
        """Run a line of shell on a host, as Ray does it: a login shell that has read ~/.bashrc."""
        where = ["-i", str(self.key), "-p", str(self.port), f"root@{self.addresses[name]}"]
        quiet = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=20"]
        options = [part for option in quiet for part in ("-o", option)]
        line = f"bash --login -c {shlex.quote(f'source ~/.bashrc 2>/dev/null; {command}')}"
        return self.run(["ssh", *options, *where, line], timeout=timeout, check=check).stdout

    def wire(self, command: str) -> None:
        """One command in the client's network, with this machine's view of processes."""
        run(["nsenter", f"--target={self.init.pid}", "--net", *command.split()])

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.init.pid}", "--net", "--mount", "--uts", "--pid"]

    def _plug_in(self, host: Host) -> None:
        cable = f"cable-{host.name}"
        self.wire(f"ip link add {cable} type veth peer name eth0 netns {host.init.pid}")
        self.wire(f"ip link set {cable} master bridge0 up")
        inside = ["nsenter", f"--target={host.init.pid}", "--net", "ip"]
        for words in (
            "link set lo up",
            # The same card after each start, as others remember it.
            f"link set eth0 address 02:00:{':'.join(f'{int(part):02x}' for part in host.address.split('.'))}",
            f"addr add {host.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {CLIENT}",
        ):
            run([*inside, *words.split()])

    def _write_names(self) -> None:
        """The names of all hosts, in place: the file is bound into every namespace."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in self.addresses.items())]
        (self.folder / "client" / "hosts").write_text("\n".join(lines) + "\n")

    def _wait_for_ssh(self, host: Host, patience: float = 120.0) -> None:
        deadline = time.monotonic() + patience
        while self.ssh(host.name, "echo up", timeout=60, check=False).strip() != "up":
            if not host.alive or time.monotonic() > deadline:
                raise AssertionError(f"host {host.name} does not answer:\n{(host.folder / 'output').read_text()}")
            time.sleep(0.2)


@contextlib.contextmanager
def network(folder: Path) -> Iterator[Hosts]:
    """A network with a client at 10.77.0.1 and no host yet (`start`), all files in `folder`."""
    yield from _opened(Hosts(folder, "network"))


@contextlib.contextmanager
def loopback(folder: Path, port: int = 22) -> Iterator[Hosts]:
    """One host named 'lo' at 127.0.0.1 with its sshd at `port`. It shares the network of the client, which has nothing
    but that address, and nothing else."""
    for hosts in _opened(Hosts(folder, "loopback", port)):
        hosts.start("lo")
        yield hosts


def _opened(hosts: Hosts) -> Iterator[Hosts]:
    if reason := unavailable():
        raise RuntimeError(reason)
    hosts.open()
    try:
        yield hosts
    finally:
        hosts.close()


def detached(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a namespace: its words go to a file, and signals of the terminal do not reach it."""
    with output.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PATH": SYSTEM},
        )


def first_process(outer: subprocess.Popen[bytes], own: Path, depth: int = 1, patience: float = 60.0) -> psutil.Process:
    """The process that is number 1 of the namespace which `outer` makes, `depth` generations below, once it is
    ready."""
    deadline = time.monotonic() + patience
    while not (own / "ready").exists():
        if outer.poll() is not None or time.monotonic() > deadline:
            outer.kill()
            raise AssertionError(f"namespaces could not be made:\n{(own / 'output').read_text()}")
        time.sleep(0.02)
    process = psutil.Process(outer.pid)
    for _ in range(depth):
        process = process.children()[0]
    return process


def run(command: Sequence[str]) -> None:
    """Run a command of the system; AssertionError with its words where it fails."""
    program = find(command[0]) or command[0]
    settings = {**os.environ, "PATH": SYSTEM}
    done = subprocess.run([program, *command[1:]], env=settings, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
