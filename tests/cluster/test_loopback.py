"""The README's section on clusters, word by word, over ssh on one host with token authentication.

The host is made of namespaces of this machine (`tests.hosts`): its own processes, home, /tmp and sshd at 127.0.0.1. So
`ray up` and `ray down` see, and can end, what they have started and nothing else. The commands are read from README.md
and run in a copy of what a checkout holds; `cluster.yaml` in there is cluster.local.yaml with this host's address, user
and key. Three things stand in for what the host lacks, as it has no internet: the environment of this test for
~/raycon-venv, a folder of wheels for the package index, and a folder of this machine for the file server. The tunnel to
the dashboard takes another port, since client and host share an address.

`pytest -m cluster tests/cluster/test_loopback.py` prints what each command took.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from raycon.errors import RayconError
from raycon.history import LOG_NAME, RunRecord, read_sweep
from raycon.submissions import read_submissions
from tests.hosts import Hosts, loopback, unavailable
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
CHECKOUT = ("raycon", "search_spaces", "pyproject.toml", "README.md", "LICENSE", "submit.py")
CHEAP = "--trials 2 --set training.epochs=1 --set data.train_size=2000 --set encoder.width=8"
TUNNEL = "8266"
PATIENCE = 300.0
SLOW_START = "The current node timed out during startup"
SILENT = re.compile(r"\x1b\[[0-9;]*m")


def commands_of(block: str) -> list[str]:
    """The commands of a marked block of the README, a line each."""
    text = (ROOT / "README.md").read_text().split(f"<!-- {block} -->")[1].split("<!-- end -->")[0]
    return [line for line in text.split("```sh\n")[1].split("```")[0].splitlines() if line.strip()]


@dataclass
class Client:
    """A shell at the client, in a copy of the checkout; what is exported in it stays."""

    hosts: Hosts
    exports: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The copy of the checkout."""
        return self.hosts.folder / "checkout"

    def __call__(self, line: str, *, check: bool = True, label: str | None = None) -> tuple[int, str]:
        """Run a line of shell: its exit code and what it said."""
        if line.startswith("export "):
            self.exports.append(line.partition("#")[0].strip())
            return 0, ""
        began = time.monotonic()
        done = self.hosts.run(
            ["bash", "-c", "; ".join([*self.exports, line])], check=check, folder=self.folder, timeout=600
        )
        self.seconds[label or line.partition("#")[0].strip()] = time.monotonic() - began
        return done.returncode, SILENT.sub("", done.stdout)

    def refused(self, line: str) -> str:
        """What a line says that has to fail."""
        code, said = self(line, check=False)
        assert code != 0, f"{line}: exit code 0\n{said}"
        return said


def fetch_wheels(folder: Path) -> None:
    """What `pip install -e` builds the package with, from the package index. Without one there is nothing to try."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(folder)]
    done = subprocess.run([*fetch, "hatchling", "editables"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the build's own packages cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A host at 127.0.0.1 on which a newcomer's preparations have been made, and the client's shell."""
    if reason := unavailable():
        pytest.skip(f"NOT TRIED over ssh: {reason}")
    # A short path: Ray makes sockets below the folders of its sessions.
    with tempfile.TemporaryDirectory(prefix="raycon-") as name, loopback(Path(name)) as hosts:
        for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            hosts.settings.pop(variable, None)
        found = Client(hosts)
        for part in CHECKOUT:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, found.folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, found.folder / part)
        (found.folder / "cluster.yaml").write_text(own_addresses(hosts))
        fetch_wheels(wheels := hosts.folder / "wheels")
        index = f"[global]\\nno-index = true\\nfind-links = {wheels}\\n"
        hosts.ssh(
            "lo",
            f"ln -s {sys.prefix} ~/raycon-venv && mount --bind {hosts.shared} /srv && mkdir /srv/raycon"
            f" && mkdir -p ~/.config/pip && printf '{index}' > ~/.config/pip/pip.conf",
        )
        yield found


def own_addresses(hosts: Hosts) -> str:
    """cluster.local.yaml with the address, user and key of this host."""
    text = (ROOT / "cluster.local.yaml").read_text()
    for shipped, own in (
        ("head_ip: 192.0.2.10", "head_ip: 127.0.0.1"),
        ("worker_ips: [192.0.2.11, 192.0.2.12]", "worker_ips: []"),
        ("ssh_user: raycon", "ssh_user: root"),
        ("ssh_private_key: ~/.ssh/id_ed25519", f"ssh_private_key: {hosts.key}"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, own)
    return text


def bring_up(client: Client, line: str) -> None:
    """`ray up`. Ray gives a node 30 s to start, which a busy machine may miss: as anybody would, try again."""
    for attempt in range(3):
        code, said = client(line, check=False)
        if code == 0 or SLOW_START not in said or attempt == 2:
            break
    assert code == 0, said
    mode = client.hosts.ssh("lo", "stat -c %a ~/.ray/auth_token").strip()
    assert mode == "600"


def check_submitted(client: Client, said: str) -> None:
    """The sweep ran on the host: log in its home, weights and a copy of the log on the storage, outcome recorded."""
    assert "best: run" in said and "report: /root/raycon_out/first/report/report.md" in said
    home = client.hosts.hosts["lo"].folder / "home"
    history = read_sweep(home / "raycon_out" / "first")
    assert history.finished and [run.state for run in history.runs] == ["complete"] * 2
    assert history.canonical["trial"]["data"]["dataset"] == "fashion_mnist"
    stored = client.hosts.shared / "raycon" / "first"
    assert (stored / LOG_NAME).read_bytes() == (home / "raycon_out" / "first" / LOG_NAME).read_bytes()
    for run in history.runs:
        assert run.checkpoint is not None and run.checkpoint.startswith(f"/srv/raycon/first/runs/{run.key}/")
        assert (stored / Path(run.checkpoint).relative_to("/srv/raycon/first") / "state.safetensors").is_file()
    (outcome,) = read_submissions(home / "raycon_out", "first")
    assert outcome.exit_code == 0 and outcome.command[0] == "sweep" and outcome.versions["ray"]


def check_refusals(client: Client) -> None:
    """A failure is not zero, and its code is found; arguments that a shell would change; tokens, wrong and missing."""
    client.refused("ray submit cluster.yaml submit.py -- sweep search_spaces/nothing.yaml --name third")
    told = client("ray exec cluster.yaml 'raycon runs ls'")[1]
    assert "first" in told and "nothing.yaml --name third: exit code 2 (usage or invalid file)" in told
    said = client.refused("""ray submit cluster.yaml submit.py -- sweep x.yaml --set "'a={choice: [1]}'" """)
    assert "cannot pass 'a={choice: [1]}' on" in said
    jobs = f"ray job list --address http://127.0.0.1:{TUNNEL}"
    assert "Invalid authentication token" in client.refused(f"RAY_AUTH_TOKEN={'0' * 64} {jobs}")
    assert "Missing authentication token" in client.refused(f"RAY_AUTH_MODE=disabled {jobs}")
    # Ray's own port, not the dashboard's.
    status = "timeout 100 ray status --address 127.0.0.1:6379"
    assert "Active:" in client(status)[1]
    assert "oken" in client.refused(f"RAY_AUTH_TOKEN={'0' * 64} {status}")


def close_the_terminal(client: Client, line: str) -> None:
    """End a submitted sweep in the middle of a run, as a closed terminal does: it is interrupted in good order."""
    began = time.monotonic()
    out = client.hosts.hosts["lo"].folder / "home" / "raycon_out"
    words = client.hosts.folder / "closed.txt"
    with words.open("wb") as stream:
        exports = [*client.exports, f"exec {line}"]
        process = client.hosts.popen(["bash", "-c", "; ".join(exports)], folder=client.folder, stdout=stream)
    wait_until(lambda: any(run.tries for run in runs_of(out / "second")), PATIENCE, "a run of the second sweep")
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.wait()
    wait_until(
        lambda: read_submissions(out, "second")[0].exit_code is not None, PATIENCE, "the end of the second sweep"
    )
    assert read_submissions(out, "second")[0].exit_code == 130, words.read_text()[-3000:]
    assert not all(run.finished for run in runs_of(out / "second"))
    client.seconds["the same with --name second, and the terminal closed"] = time.monotonic() - began


def runs_of(folder: Path) -> list[RunRecord]:
    """The runs of a sweep so far."""
    with contextlib.suppress(RayconError):
        return read_sweep(folder).runs
    return []


def run_job(client: Client) -> None:
    """`ray job submit` through the tunnel goes on with the interrupted sweep, and ends with the scores of the first,
    which is the same search; a failing job is not zero."""
    tunnel, job = (line.replace("8265", TUNNEL) for line in commands_of("job"))
    assert tunnel.startswith("ray dashboard cluster.yaml &")
    tunnel = tunnel.replace("ray dashboard", f"ray dashboard --port {TUNNEL}").partition("&")[0]
    with (client.hosts.folder / "tunnel.txt").open("wb") as words:
        process = client.hosts.popen(
            ["bash", "-c", "; ".join([*client.exports, f"exec {tunnel}"])], folder=client.folder, stdout=words
        )
    try:
        wait_for_port(client, process)
        assert "succeeded" in client(f"{job} {CHEAP}", label=job)[1]
        out = client.hosts.hosts["lo"].folder / "home" / "raycon_out"
        first, second = (read_sweep(out / name).runs for name in ("first", "second"))
        assert [(run.values, scores(run.metrics)) for run in first] == [
            (run.values, scores(run.metrics)) for run in second
        ]
        said = client.refused(job.replace("thanos.yaml --name second", "nothing.yaml"))
        assert "exit code 2" in said
        check_refusals(client)
    finally:
        process.kill()
        process.wait()


def scores(metrics: dict[str, float]) -> dict[str, float]:
    """Those that time has no part in."""
    return {name: value for name, value in metrics.items() if not name.startswith("train/speed/")}


def wait_for_port(client: Client, process: subprocess.Popen[bytes]) -> None:
    """Until the tunnel answers."""
    probe = ["python", "-c", f"import socket; socket.create_connection(('127.0.0.1', {TUNNEL}), 5)"]

    def answers() -> bool:
        assert process.poll() is None, (client.hosts.folder / "tunnel.txt").read_text()
        return client.hosts.run(probe, check=False, timeout=60).returncode == 0

    wait_until(answers, PATIENCE, "the tunnel")


def rays(client: Client) -> list[str]:
    """The names of Ray's processes on the host."""
    found = []
    for process in client.hosts.processes("lo"):
        try:
            found += [name for name in ("gcs_server", "raylet") if name in process.name()]
        except psutil.Error:
            continue
    return found


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_the_readme_is_followed(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    # Outside of the host, under a name that `ray stop` looks for.
    bystander = subprocess.Popen(["raylet", "3600"], executable=shutil.which("sleep"))
    try:
        lines = {line.split()[1]: line for line in commands_of("cluster") + commands_of("leave")}
        assert list(lines) == ["get-auth-token", "RAY_AUTH_MODE=token", "up", "submit", "exec", "rsync-down", "down"]
        client(lines["get-auth-token"])
        client(lines["RAY_AUTH_MODE=token"])
        bring_up(client, lines["up"])
        assert {"gcs_server", "raylet"} <= set(rays(client))
        check_submitted(client, client(f"{lines['submit']} {CHEAP}", label=lines["submit"])[1])
        assert "exit code 0 (done)" in client(lines["exec"])[1]
        close_the_terminal(client, f"{lines['submit'].replace('first', 'second')} {CHEAP}")
        run_job(client)
        client(lines["rsync-down"])
        assert read_sweep(client.folder / "raycon_out" / "first").finished
        client(lines["down"])
        assert rays(client) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        with capsys.disabled():
            print(f"\nREADME's cluster section over ssh, {time.monotonic() - began:.0f} s in all:")
            for line, taken in client.seconds.items():
                print(f"  {taken:6.1f} s  {line[:120]}")
