"""The MLflow page of an output folder: a server on this machine only, and links that open the right view of it.

MLflow's own command starts about ten processes and answers on whatever address it is told. This one starts two, on the
loopback address, in a session of their own, and ends all of them together.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from raycon.errors import RayconError, Refused
from raycon.history import LOG_NAME, SweepHistory, read_sweep
from raycon.tracking.tail import Cursor

READY_SECONDS = 90.0
PATIENCE_SECONDS = 5.0
SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def deep_link(
    base: str,
    experiment: str,
    *,
    sweep: str | None = None,
    objective: str | None = None,
    maximize: bool = True,
    charts: bool = True,
) -> str:
    """The address of a sweep's runs, ordered by `objective`, as charts or as a table.

    `base` is the address of the MLflow server, `experiment` its id there (`experiment_of` knows it). With `sweep` only
    the runs of that sweep are shown, as a flat list; without it, the sweeps with their runs nested below them.
    """
    query = {"workflowType": "machine_learning"}
    if sweep is not None:
        query["searchFilter"] = f"tags.\"raycon.sweep\" = '{sweep}' AND tags.\"raycon.kind\" = 'run'"
    if objective is not None:
        query |= {"orderByKey": f"metrics.`{objective}`", "orderByAsc": str(not maximize).lower()}
    if charts:
        query["compareRunsMode"] = "CHART"
    options = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment, safe='')}/runs?{options}"


def experiment_of(folder: Path) -> str | None:
    """The id of a sweep's experiment in its tracking store; None before anything was delivered. Loads no mlflow."""
    cursor = Cursor.load(folder)
    return cursor.experiment if cursor else None


class UiServer:
    """A running MLflow server over `<out>/mlflow.db`. Use it as a context manager, or call `stop`."""

    def __init__(self, out: Path, host: str = "127.0.0.1", port: int = 5000, *, unsafe: bool = False):
        """Start the server and wait until it answers.

        Raises `Refused` for an address that other machines can reach, unless `unsafe` (MLflow asks nobody for a
        password), and `RayconError` when there is no database, the port is taken, or the server does not come up.
        """
        check_host(host, unsafe=unsafe)
        if not (out / "mlflow.db").is_file():
            raise RayconError(f"{out / 'mlflow.db'}: no tracking database here; run a sweep first, or give its --out")
        check_port(host, port)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self.log = out / "mlflow-server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                server_command(out, host, port),
                env={**os.environ, **SERVER_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RayconError(f"the MLflow server ended with code {self.process.returncode}; see {self.log}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise RayconError(f"the MLflow server does not answer after {READY_SECONDS:.0f} s; see {self.log}")

    def wait(self) -> int:
        """Block until the server ends; its exit code."""
        return self.process.wait()

    def stop(self) -> None:
        """End the server and all that it started: asked first, killed after 5 s. Safe to call twice."""
        for number, patience in ((signal.SIGTERM, PATIENCE_SECONDS), (signal.SIGKILL, 5.0)):
            if not _signal_group(self.process.pid, number):
                break
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and _signal_group(self.process.pid, 0):
                self.process.poll()
                time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)

    def __enter__(self) -> UiServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def sweep_link(history: SweepHistory, folder: Path, base: str) -> str | None:
    """A link to the runs of a sweep, best first by its first objective; None before anything was delivered."""
    experiment = experiment_of(folder)
    if experiment is None:
        return None
    objective = next(iter((*history.maximize, *history.minimize)), None)
    return deep_link(base, experiment, sweep=folder.name, objective=objective, maximize=bool(history.maximize))


def sweep_links(out: Path, base: str) -> dict[str, str]:
    """A link for each sweep of an output folder of which anything was delivered, by name. Damaged logs are left out."""
    links: dict[str, str] = {}
    for path in sorted(out.glob(f"*/{LOG_NAME}")):
        with contextlib.suppress(RayconError):
            link = sweep_link(read_sweep(path.parent), path.parent, base)
            links |= {path.parent.name: link} if link else {}
    return links


def serve_ui(out: Path, host: str = "127.0.0.1", port: int = 5000, *, unsafe: bool = False) -> int:
    """Serve the page until interrupted, after printing its address and a link for each sweep. Returns an exit code."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with UiServer(out, host, port, unsafe=unsafe) as server:
            print(f"MLflow: {server.url}/#/experiments (Ctrl-C ends it)")
            for name, link in sweep_links(out, server.url).items():
                print(f"{name}: {link}")
            sys.stdout.flush()
            return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


def server_command(out: Path, host: str, port: int) -> list[str]:
    """What is run: one worker, no job runners, artefacts from the output folder."""
    place = out.resolve()
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{place / 'mlflow.db'}"),
        *("--default-artifact-root", (place / "mlartifacts").as_uri()),
    ]


def check_host(host: str, *, unsafe: bool) -> None:
    """Raises `Refused` for anything but a loopback address, unless `unsafe`."""
    if unsafe or host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    raise Refused(
        f"{host} can be reached from other machines, and MLflow asks nobody for a password; stay on 127.0.0.1 (with an "
        "ssh tunnel from elsewhere), or say that this is meant"
    )


def check_port(host: str, port: int) -> None:
    """Raises `RayconError` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RayconError(f"port {port} on {host} cannot be used: {error.strerror}; choose another") from error


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
