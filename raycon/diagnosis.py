"""What `raycon doctor` says: facts about this machine and the nodes of a cluster, judged without Ray.

Each check that does not hold names what repairs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "warning", "failed"]

OLDEST_PYTHON = (3, 11)
LOW_DISK = 2 * 1024**3
LOW_SHARED_MEMORY = 256 * 1024**2
ANSWER_PATIENCE = 20.0
"""Seconds for a file system to answer."""
LOOK = """import os, sys
folder = sys.argv[1]
while not os.path.exists(folder):
    folder = os.path.dirname(folder)
os.statvfs(folder)"""
LARGEST_SKEW = 2.0
"""Seconds. Results are ordered by the driver's clock alone; tokens and storage listings are not."""
SLOW_ROUND_TRIP = 0.05
PACKAGES = ("raycon", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "scikit-learn")


@dataclass(frozen=True)
class Check:
    """One line of the doctor's. `fix` says what to do where the state is not ok."""

    name: str
    state: State
    found: str
    fix: str = ""

    @property
    def line(self) -> str:
        """The check in one line."""
        return f"{self.state:<8} {self.name}: {self.found}" + (f"; fix: {self.fix}" if self.fix else "")


@dataclass(frozen=True)
class NodeReport:
    """What one node of a cluster says of itself, and how the driver and the other nodes see it.

    skew: its clock less the driver's, in seconds. storage_error: why it could not write there; storage_silence: why it
    is not known whether it could. sees: the names of the nodes whose files it could read there. unreachable:
    'address:port' of others that it could not connect to. gpus: what Ray hands out; devices: what torch finds. token:
    whether Ray asks for one; token_file: where it lies; token_mode: that file's, where others can read it; token_hash:
    equal where tokens are. error: why there is no report at all.
    """

    name: str
    address: str
    host: str = ""
    python: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    gpus: float = 0.0
    devices: tuple[str, ...] = ()
    token: bool = False
    token_file: str = ""
    token_mode: str = ""
    token_hash: str = ""
    skew: float = 0.0
    round_trip: float = 0.0
    storage_error: str = ""
    storage_silence: str = ""
    sees: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    shared_memory: int = 0
    error: str = ""


def local_checks(out: Path, tracking: str, port: int) -> list[Check]:
    """This machine: Python, packages, devices, data sets, the output folder, the MLflow store and the port of its
    page."""
    folders = {"data sets": data_folder(), "output folder": out, "MLflow": store_file(tracking)}
    hung = hanging(folders.values())
    silent = {name: hang(name, folder) for name, folder in folders.items() if folder in hung}
    return [
        check_python(sys.version_info[:3]),
        *check_packages(),
        check_devices(found_devices(), driver_files()),
        silent.get("data sets") or check_data(found_data()),
        silent.get("output folder") or check_folder("output folder", out),
        silent.get("MLflow") or check_tracking(tracking),
        check_port(port),
    ]


def hanging(folders: Iterable[Path | None]) -> set[Path]:
    """Those of the folders whose file system does not answer. A process of its own looks at each and is left behind
    where it hangs: what waits for a file system, thread or process, may not be ended by anything."""
    looks = {
        folder: subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LOOK, str(folder.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for folder in folders
        if folder is not None
    }
    deadline, found = time.monotonic() + ANSWER_PATIENCE, set()
    for folder, process in looks.items():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            found.add(folder)
    return found


def hang(name: str, folder: Path | None) -> Check:
    """What is said of a folder whose file system does not answer."""
    found = f"{folder} did not answer within {ANSWER_PATIENCE:g} s: its file system hangs?"
    return Check(name, "failed", found, "mount it again when its server answers, or name another folder")


def check_python(version: Sequence[int]) -> Check:
    """Whether this Python is new enough."""
    found = ".".join(map(str, version)) + f" on {platform.system()} {platform.machine()}"
    if tuple(version[:2]) < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Check("python", "failed", found, f"make the environment anew with Python {wanted} or later")
    return Check("python", "ok", found)


def check_packages() -> list[Check]:
    """What raycon asks for against what is installed."""
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.requires("raycon") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            installed = ""
        if not wanted.specifier.contains(installed or "0", prereleases=True) or not installed:
            wrong.append((str(wanted), f"{wanted.name} {installed or 'is missing'}"))
    found = ", ".join(f"{name} {version}" for name, version in installed_packages().items())
    if wrong:
        asked = " ".join(f"'{wanted}'" for wanted, _ in wrong)
        return [Check("packages", "failed", ", ".join(told for _, told in wrong), f"pip install {asked}")]
    return [Check("packages", "ok", found)]


def installed_packages() -> dict[str, str]:
    """The versions of what results depend on."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def found_devices() -> tuple[str, ...]:
    """The names of the GPUs that torch can use."""
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))


def driver_files() -> int:
    """How many NVIDIA devices the system shows, usable or not."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def check_devices(devices: Sequence[str], files: int) -> Check:
    """The devices that runs can use; GPUs that the system shows and torch cannot use are a fault."""
    cpus = f"{os.cpu_count()} CPUs"
    if files and not devices:
        fix = "install a torch build for this driver (https://pytorch.org/get-started), or update the driver"
        return Check("devices", "failed", f"{files} NVIDIA devices, none of which torch can use, {cpus}", fix)
    return Check("devices", "ok", f"{', '.join(devices) or 'no GPU'}, {cpus}")


def found_data() -> list[str]:
    """The sets of arrays whose files are here. Nothing is downloaded, and no image files are decoded."""
    from raycon.datasets.loading import LOADERS
    from raycon.errors import InvalidFile

    before = os.environ.get("RAYCON_OFFLINE")
    os.environ["RAYCON_OFFLINE"] = "1"
    found = []
    try:
        for name, load in LOADERS.items():
            with contextlib.suppress(InvalidFile, OSError):
                load()
                found.append(name)
    finally:
        if before is None:
            del os.environ["RAYCON_OFFLINE"]
        else:
            os.environ["RAYCON_OFFLINE"] = before
    return found


def data_folder() -> Path:
    """Where data sets are looked for."""
    named = os.environ.get("RAYCON_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "raycon"


def check_data(found: Sequence[str]) -> Check:
    """The data sets that are here; a folder that RAYCON_DATA names must be there."""
    named, place = os.environ.get("RAYCON_DATA"), data_folder()
    told = f"{', '.join(found) or 'none'}; others are looked for in {place}"
    if named and not place.is_dir():
        return Check("data sets", "failed", f"{told}, which is no folder", f"mkdir {place}, or set RAYCON_DATA anew")
    return Check("data sets", "ok", told)


def check_folder(name: str, folder: Path) -> Check:
    """Whether a folder can be written to, or made, and has room."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".raycon-doctor-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        return Check(name, "failed", f"{folder}: {reason}", "name one that is yours with --out, or give its rights")
    free = shutil.disk_usage(there).free
    told = f"{folder}, {free / 1024**3:.1f} GB free"
    if free < LOW_DISK:
        return Check(name, "warning", told, "free some room: a run keeps two checkpoints")
    return Check(name, "ok", told)


def store_file(uri: str) -> Path | None:
    """The file of an MLflow store; None where it is something else."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def check_tracking(uri: str) -> Check:
    """Whether the MLflow store can be used: a server answers, or a database is one."""
    if uri.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=5) as answer:
                return Check("MLflow", "ok", f"{uri} answers {answer.status}")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            return Check("MLflow", "failed", f"{uri}: {reason}", "start the server, or give --tracking another URI")
    path = store_file(uri)
    if path is None:
        return Check("MLflow", "ok", uri)
    if not path.exists():
        return Check("MLflow", "ok", f"{uri}, made by the first sweep")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
            database.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.Error as error:
        fix = f"move {path} away; `raycon sync SWEEP` fills a new one from the logs"
        return Check("MLflow", "failed", f"{uri}: {error}", fix)
    return Check("MLflow", "ok", uri)


def check_port(port: int) -> Check:
    """Whether the port of the MLflow page is free on the loopback address."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return Check("ports", "warning", f"{port} is taken", f"give `raycon ui` another with --port {port + 1}")
    return Check("ports", "ok", f"{port}, of `raycon ui`, is free")


def cluster_checks(reports: Sequence[NodeReport], driver: NodeReport, storage: str | None) -> list[Check]:
    """The nodes of a cluster against each other and against the driver."""
    silent = [report for report in reports if report.error]
    nodes = [report for report in reports if not report.error]
    checks = [answers(nodes, silent)]
    if nodes:
        checks += [
            same("python on nodes", nodes, lambda report: report.python, driver.python),
            *(same(f"{name} on nodes", nodes, package(name), package(name)(driver)) for name in PACKAGES),
            devices_on_nodes(nodes),
            shared_storage([report for report in reports if not report.error or report.storage_silence], storage),
            tokens(nodes, driver),
            *token_files([driver, *nodes]),
            clocks(nodes),
            connections(nodes),
            shared_memory(nodes),
        ]
    return checks


def package(name: str) -> Callable[[NodeReport], str]:
    """Reads the version of one package from a report."""
    return lambda report: report.versions.get(name, "missing")


def answers(nodes: Sequence[NodeReport], silent: Sequence[NodeReport]) -> Check:
    """Whether every node that is alive answers."""
    found = f"{len(nodes)} nodes, {sum(n.cpus for n in nodes):g} CPU, {sum(n.gpus for n in nodes):g} GPU"
    if not silent:
        return Check("nodes", "ok", found)
    told = "; ".join(f"{report.name} gives no answer ({report.error})" for report in silent)
    fix = "install raycon on every node (setup_commands in cluster.yaml, the image on Kubernetes), then look there in "
    return Check("nodes", "failed", f"{found}; {told}", fix + "/tmp/ray/session_latest/logs")


def same(name: str, nodes: Sequence[NodeReport], read: Callable[[NodeReport], str], wanted: str) -> Check:
    """Whether all nodes have what the driver has."""
    others = {report.name: read(report) for report in nodes if read(report) != wanted}
    if not others:
        return Check(name, "ok", wanted)
    told = ", ".join(f"{node}: {found}" for node, found in others.items())
    fix = f"install {wanted} on every node, as the driver has it"
    return Check(name, "failed", f"driver: {wanted}, {told}", fix)


def devices_on_nodes(nodes: Sequence[NodeReport]) -> Check:
    """Whether torch can use as many GPUs on a node as Ray hands out there."""
    wrong = [report for report in nodes if report.gpus > len(report.devices)]
    if wrong:
        told = ", ".join(f"{n.name}: Ray has {n.gpus:g} GPU, torch {len(n.devices)}" for n in wrong)
        return Check("devices on nodes", "failed", told, "install the driver and a torch build for it there")
    kinds = sorted({device for report in nodes for device in report.devices})
    return Check("devices on nodes", "ok", ", ".join(kinds) or "CPUs only")


def shared_storage(nodes: Sequence[NodeReport], storage: str | None) -> Check:
    """Whether what each node writes to the storage is read by all."""
    if storage is None:
        if len({report.host for report in nodes}) < 2:
            return Check("shared storage", "ok", "one host: none is needed")
        return Check("shared storage", "warning", "none was named", "--storage FOLDER, one that all nodes mount")
    failed = [f"{report.name} cannot write: {report.storage_error}" for report in nodes if report.storage_error]
    failed += [f"{report.name} {report.storage_silence}" for report in nodes if report.storage_silence]
    answering = [report for report in nodes if not report.storage_silence]
    wrote = [report.name for report in answering if not report.storage_error]
    for report in answering:
        missing = [name for name in wrote if name not in report.sees]
        if missing:
            failed.append(f"{report.name} does not see what {', '.join(missing)} wrote")
    if failed:
        fix = f"mount the same file system at {storage} on every node (NFS, EFS, Filestore), or name another"
        if "://" in storage:
            fix = "give every node the same credentials or role, region and endpoint (docs/cluster.md, Object storage)"
        if len(answering) < len(nodes) and "://" not in storage:
            fix += f"; where it hangs: `umount -f -l {storage}` there, and mount it again when its server answers"
        return Check("shared storage", "failed", "; ".join(failed), fix)
    return Check("shared storage", "ok", f"{storage}: written on each of {len(nodes)} nodes, read on all")


def tokens(nodes: Sequence[NodeReport], driver: NodeReport) -> Check:
    """Whether Ray asks for a token, and for the same one everywhere. Without one, whoever reaches a port of the cluster
    runs code on it."""
    without = [report.name for report in nodes if not report.token]
    if without:
        fix = "RAY_AUTH_MODE=token and the same ~/.ray/auth_token on every node (`ray get-auth-token --generate`)"
        state: State = "warning" if len({report.host for report in nodes}) < 2 else "failed"
        return Check("token", state, f"not asked for on {', '.join(without)}", fix)
    other = [report.name for report in nodes if driver.token_hash and report.token_hash != driver.token_hash]
    if other:
        fix = "copy the driver's token file there (~/.ray/auth_token, mode 600), and start Ray there again"
        return Check("token", "failed", f"another than the driver's, or none, on {', '.join(other)}", fix)
    return Check("token", "ok", "asked for on every node, the same on all")


def token_files(reports: Sequence[NodeReport]) -> list[Check]:
    """Whether others can read a file with the token; nothing where there is none."""
    files = [report for report in reports if report.token_file]
    open_to_others = [report for report in files if report.token_mode]
    if open_to_others:
        told = ", ".join(f"{report.token_file} on {report.name} ({report.token_mode})" for report in open_to_others)
        paths = " ".join(sorted({shlex.quote(report.token_file) for report in open_to_others}))
        return [Check("token files", "warning", f"others can read {told}", f"chmod 600 {paths}, there")]
    return [Check("token files", "ok", f"{len(files)}, each read by its owner alone")] if files else []


def clocks(nodes: Sequence[NodeReport]) -> Check:
    """How far the clocks are from the driver's."""
    worst = max(nodes, key=lambda report: abs(report.skew))
    found = f"at most {abs(worst.skew):.2f} s from the driver's ({worst.name})"
    if abs(worst.skew) > LARGEST_SKEW:
        return Check("clocks", "failed", found, "run a time service there: `timedatectl set-ntp true`, or chrony")
    return Check("clocks", "ok", found)


def connections(nodes: Sequence[NodeReport]) -> Check:
    """Whether the nodes reach each other, also on ports that the system chooses, and how quickly they answer."""
    lost = [f"{report.name} does not reach {', '.join(report.unreachable)}" for report in nodes if report.unreachable]
    if lost:
        fix = "open all TCP ports between the nodes (a security group that allows itself): Ray, gloo, nccl choose some"
        return Check("ports between nodes", "failed", "; ".join(lost), fix)
    worst = max(nodes, key=lambda report: report.round_trip)
    found = f"all open, round trip at most {1000 * worst.round_trip:.1f} ms ({worst.name})"
    if worst.round_trip > SLOW_ROUND_TRIP:
        return Check("ports between nodes", "warning", found, "put the nodes into one zone; see docs/scaling.md")
    return Check("ports between nodes", "ok", found)


def shared_memory(nodes: Sequence[NodeReport]) -> Check:
    """Whether /dev/shm holds Ray's object store; containers often give it 64 MB."""
    small = [report for report in nodes if report.shared_memory < LOW_SHARED_MEMORY]
    if small:
        told = ", ".join(f"{report.name}: {report.shared_memory / 1024**2:.0f} MB" for report in small)
        return Check("shared memory", "warning", told, "docker run --shm-size=2g, or an emptyDir of medium Memory")
    return Check("shared memory", "ok", f"at least {min(n.shared_memory for n in nodes) / 1024**3:.1f} GB")


def failed(checks: Iterable[Check]) -> bool:
    """Whether something is wrong; a warning is not."""
    return any(check.state == "failed" for check in checks)
