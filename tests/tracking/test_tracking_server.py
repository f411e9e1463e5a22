"""Links into MLflow's page, and the server that shows it: on this machine only, and gone when it is ended."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from raycon.errors import RayconError, Refused
from raycon.tracking import server as tracking_server
from raycon.tracking import sync
from raycon.tracking.server import UiServer, check_host, deep_link, experiment_of, serve_ui, server_command
from raycon.tracking.tail import Cursor
from tests.tracking.synthetic_log import OBJECTIVE, LogWriter, write_sweep


def test_links_name_the_sweep_the_order_and_the_view() -> None:
    link = deep_link("http://127.0.0.1:5000/", "7", sweep="thanos", objective=OBJECTIVE, maximize=False)
    route = urlsplit(urlsplit(link).fragment)
    assert link.startswith("http://127.0.0.1:5000/#/") and route.path == "/experiments/7/runs"
    assert parse_qs(route.query) == {
        "workflowType": ["machine_learning"],
        "searchFilter": ["tags.\"raycon.sweep\" = 'thanos' AND tags.\"raycon.kind\" = 'run'"],
        "orderByKey": [f"metrics.`{OBJECTIVE}`"],
        "orderByAsc": ["true"],
        "compareRunsMode": ["CHART"],
    }
    assert " " not in link and '"' not in link
    assert deep_link("http://h", "7", charts=False) == "http://h/#/experiments/7/runs?workflowType=machine_learning"


def test_the_experiment_is_unknown_before_anything_was_delivered(tmp_path: Path) -> None:
    assert experiment_of(tmp_path) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "head.cluster"])
def test_addresses_that_others_can_reach_are_refused(host: str) -> None:
    with pytest.raises(Refused, match="other machines"):
        check_host(host, unsafe=False)
    check_host(host, unsafe=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_addresses_are_taken(host: str) -> None:
    check_host(host, unsafe=False)


def test_a_missing_database_and_a_taken_port_are_said(tmp_path: Path) -> None:
    with pytest.raises(RayconError, match="no tracking database"):
        UiServer(tmp_path)
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RayconError, match="choose another"):
            UiServer(tmp_path, port=taken.getsockname()[1])


def _fake_server(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_server_that_ends_at_once_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(tracking_server, "server_command", lambda *_: _fake_server("raise SystemExit(3)"))
    with pytest.raises(RayconError, match="ended with code 3"):
        UiServer(tmp_path, port=_free_port())


def test_ending_the_server_ends_its_children_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child ignores the polite signal, as some of MLflow's do."""
    (tmp_path / "mlflow.db").touch()
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    program = (
        "import http.server, pathlib, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    monkeypatch.setattr(tracking_server, "server_command", lambda out, host, port: [*_fake_server(program), str(port)])
    monkeypatch.setattr(tracking_server, "PATIENCE_SECONDS", 0.5)
    with UiServer(tmp_path, port=_free_port()) as server:
        pid = int((tmp_path / "pid").read_text())
        assert _alive(pid)
    assert not _alive(pid) and server.process.poll() is not None
    server.stop()


def test_serving_prints_a_link_for_each_sweep_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").touch()
    for number, name in enumerate(("thanos", "digits")):
        LogWriter(tmp_path / name).opened()
        Cursor("store", "log", 1, "digest", str(number), "parent").save(tmp_path / name)
    monkeypatch.setattr(UiServer, "_wait_until_ready", lambda self: None)
    monkeypatch.setattr(tracking_server, "server_command", lambda *_: _fake_server("import time; time.sleep(60)"))

    def interrupted(self: UiServer) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(UiServer, "wait", interrupted)
    assert serve_ui(tmp_path, port=_free_port()) == 0
    digits, thanos = capsys.readouterr().out.splitlines()[1:]
    assert digits.startswith("digits: http://127.0.0.1:") and "/experiments/1/runs?" in digits
    assert thanos.startswith("thanos: ") and "orderByKey=metrics" in thanos


def test_the_command_starts_one_worker_here(tmp_path: Path) -> None:
    command = " ".join(server_command(tmp_path, "127.0.0.1", 5001))
    assert "--host 127.0.0.1 --port 5001 --workers 1" in command
    assert f"sqlite:///{tmp_path / 'mlflow.db'}" in command
    assert tracking_server.SERVER_ENVIRONMENT["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_real_server_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    write_sweep(tmp_path / "s", runs=1, epochs=1)
    sync(tmp_path / "s")
    assert experiment_of(tmp_path / "s") is not None
    with UiServer(tmp_path, port=_free_port()) as server:
        with urllib.request.urlopen(f"{server.url}/version", timeout=10) as answer:
            assert answer.status == 200
        group = server.process.pid
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
