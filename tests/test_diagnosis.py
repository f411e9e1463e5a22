"""What the doctor says of facts that are made up, and of this machine."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raycon.cli import main
from raycon.diagnosis import (
    Check,
    NodeReport,
    check_data,
    check_devices,
    check_folder,
    check_packages,
    check_port,
    check_python,
    check_tracking,
    cluster_checks,
    failed,
    hanging,
    local_checks,
)

VERSIONS = {"raycon": "0.1.0", "torch": "2.14.1", "ray": "2.60.0"}
DRIVER = NodeReport("driver", "", "head", "3.11.7", VERSIONS, token_file="/home/me/.ray/auth_token", token_hash="1f")


def node(name: str, **changes: object) -> NodeReport:
    plain = NodeReport(
        name,
        "10.0.0.1",
        host=name,
        python="3.11.7",
        versions=VERSIONS,
        cpus=8,
        token=True,
        token_file="/home/ray/.ray/auth_token",
        token_hash="1f",
        round_trip=0.001,
        sees=("a", "b"),
        shared_memory=2**31,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def judged(*nodes: NodeReport, storage: str | None = "/shared") -> dict[str, Check]:
    return {check.name: check for check in cluster_checks(nodes, DRIVER, storage)}


def test_a_sound_cluster_has_no_fault() -> None:
    checks = judged(node("a"), node("b"))
    assert {check.state for check in checks.values()} == {"ok"}
    assert checks["nodes"].found == "2 nodes, 16 CPU, 0 GPU"
    assert checks["shared storage"].found == "/shared: written on each of 2 nodes, read on all"


@pytest.mark.parametrize(
    ("change", "name", "found", "fix"),
    [
        ({"error": "no module raycon"}, "nodes", "b gives no answer (no module raycon)", "install raycon"),
        ({"python": "3.12.1"}, "python on nodes", "driver: 3.11.7, b: 3.12.1", "install 3.11.7 on every node"),
        ({"versions": {**VERSIONS, "torch": "2.6.0"}}, "torch on nodes", "b: 2.6.0", "install 2.14.1"),
        ({"versions": {"raycon": "0.1.0", "ray": "2.60.0"}}, "torch on nodes", "b: missing", "install 2.14.1"),
        ({"gpus": 2.0, "devices": ("H100",)}, "devices on nodes", "b: Ray has 2 GPU, torch 1", "driver"),
        ({"storage_error": "Permission denied"}, "shared storage", "b cannot write: Permission denied", "mount"),
        ({"sees": ("b",)}, "shared storage", "b does not see what a wrote", "mount the same file system at /shared"),
        (
            {"storage_silence": "did not answer within 30 s: the storage hangs?", "sees": ()},
            "shared storage",
            "b did not answer within 30 s: the storage hangs?",
            "where it hangs: `umount -f -l /shared` there",
        ),
        ({"token_hash": "2e"}, "token", "another than the driver's, or none, on b", "copy the driver's token file"),
        ({"token": False}, "token", "not asked for on b", "RAY_AUTH_MODE=token"),
        ({"skew": -3.5}, "clocks", "at most 3.50 s from the driver's (b)", "time service"),
        ({"unreachable": ("10.0.0.1:4711",)}, "ports between nodes", "b does not reach 10.0.0.1:4711", "open all TCP"),
    ],
)
def test_what_is_wrong_with_a_node_is_named_with_its_repair(
    change: dict[str, object], name: str, found: str, fix: str
) -> None:
    checks = judged(node("a"), node("b", **change))
    assert checks[name].state == "failed"
    assert found in checks[name].found and fix in checks[name].fix
    assert [check.name for check in checks.values() if check.state == "failed"] == [name]
    assert f"fix: {checks[name].fix}" in checks[name].line
    assert failed(checks.values())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"round_trip": 0.2}, "ports between nodes"),
        ({"shared_memory": 2**26}, "shared memory"),
        ({"token_mode": "0644"}, "token files"),
    ],
)
def test_what_is_slow_or_small_is_a_warning(change: dict[str, object], name: str) -> None:
    checks = judged(node("a"), node("b", **change))
    assert checks[name].state == "warning" and checks[name].fix
    assert not failed(checks.values())


def test_one_host_needs_neither_storage_nor_token() -> None:
    one = judged(node("a", host="h", token=False), node("b", host="h", token=False), storage=None)
    assert one["shared storage"].state == "ok" and one["token"].state == "warning"
    assert judged(node("a"), node("b"), storage=None)["shared storage"].state == "warning"


def test_a_token_that_others_can_read_is_told_with_its_place_on_nodes_and_driver() -> None:
    b = node("b", token_mode="0644", token_file="/a b/token")
    checks = cluster_checks([node("a"), b], replace(DRIVER, token_mode="0640"), "/shared")
    (check,) = [check for check in checks if check.name == "token files"]
    assert check.found == "others can read /home/me/.ray/auth_token on driver (0640), /a b/token on b (0644)"
    assert check.fix == "chmod 600 '/a b/token' /home/me/.ray/auth_token, there"


def test_a_storage_that_hangs_on_one_node_is_judged_on_the_others() -> None:
    silent = node("b", storage_silence="did not answer within 30 s: the storage hangs?", sees=())
    (check,) = [
        check
        for check in cluster_checks([node("a", sees=("a",)), silent, node("c", sees=("a",))], DRIVER, "/shared")
        if check.name == "shared storage"
    ]
    assert check.found.count("; ") == 2
    assert "a does not see what c wrote" in check.found and "c does not see what c wrote" in check.found


def test_nothing_is_judged_where_nobody_answers() -> None:
    checks = judged(node("a", error="timed out"), node("b", error="timed out"))
    assert list(checks) == ["nodes"] and checks["nodes"].state == "failed"


def test_an_old_python_is_a_fault() -> None:
    assert check_python((3, 10, 4)).state == "failed"
    assert check_python((3, 11, 0)).state == "ok"


def test_packages_are_compared_with_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.state for check in check_packages()] == ["ok"]
    asked = ["numpy>=99", "no-such-thing>=1", "scipy", "pytest>=99; extra == 'dev'"]
    monkeypatch.setattr("raycon.diagnosis.metadata.requires", lambda name: asked)
    (check,) = check_packages()
    assert check.state == "failed" and "no-such-thing is missing" in check.found and "numpy 2" in check.found
    assert check.fix == "pip install 'numpy>=99' 'no-such-thing>=1'"


def test_gpus_that_torch_cannot_use_are_a_fault() -> None:
    assert check_devices((), 2).state == "failed"
    assert check_devices((), 0).found.startswith("no GPU, ")
    assert check_devices(("H100",), 1).found.startswith("H100, ")


def test_a_data_folder_that_is_not_there_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path / "nowhere"))
    assert check_data(["digits"]).state == "failed"
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path))
    assert check_data(["digits"]).found == f"digits; others are looked for in {tmp_path}"


def test_a_folder_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_folder("out", tmp_path / "new" / "deeper").state == "ok"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    assert check_folder("out", tmp_path / "file" / "below").state == "failed"
    monkeypatch.setattr("raycon.diagnosis.LOW_DISK", 2**70)
    assert check_folder("out", tmp_path).state == "warning"


def test_a_file_system_that_hangs_does_not_hold_the_doctor_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    monkeypatch.setattr("raycon.diagnosis.LOOK", f"import sys\nif 'hung' in sys.argv[1]: {frozen}")
    monkeypatch.setattr("raycon.diagnosis.ANSWER_PATIENCE", 2.0)
    monkeypatch.setattr("raycon.diagnosis.found_devices", lambda: ())
    monkeypatch.setattr("raycon.diagnosis.found_data", lambda: pytest.fail("it would hang"))
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path / "hung data"))
    started = time.monotonic()
    told = local_checks(tmp_path, f"sqlite:///{tmp_path}/hung/mlflow.db", free_port())
    checks = {check.name: check for check in told}
    assert time.monotonic() - started < 10
    assert [name for name, check in checks.items() if check.state == "failed"] == ["data sets", "MLflow"]
    assert "hung data did not answer within 2 s: its file system hangs?" in checks["data sets"].found
    assert checks["output folder"].state == "ok"


def test_file_systems_that_answer_do_not_hang(tmp_path: Path) -> None:
    assert hanging([tmp_path, tmp_path / "not" / "there", Path("relative"), None]) == set()


def test_the_store_of_mlflow_is_tried(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert "made by the first sweep" in check_tracking(f"sqlite:///{path}").found
    sqlite3.connect(path).close()
    assert check_tracking(f"sqlite:///{path}").state == "ok"
    path.write_bytes(b"no database" * 100)
    assert check_tracking(f"sqlite:///{path}").state == "failed"


@pytest.fixture
def server() -> Iterator[str]:
    """An MLflow server that is healthy."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    made = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


def test_a_server_of_mlflow_is_asked(server: str) -> None:
    assert check_tracking(server).state == "ok"
    assert check_tracking(f"{server}/elsewhere").state == "failed"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert check_port(port).state == "warning"
    assert check_tracking(f"http://127.0.0.1:{port}").state == "failed"


def test_the_command_says_it_in_lines_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("raycon.diagnosis.found_data", lambda: ["digits"])
    monkeypatch.setattr("raycon.diagnosis.found_devices", lambda: ())
    arguments = ["doctor", "--out", str(tmp_path), "--port", "0"]
    with pytest.raises(SystemExit) as end:
        main([*arguments[:-1], str(free_port())])
    assert end.value.code == 0
    assert "checks, 0 failed" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--out", str(tmp_path), "--json", "--tracking", "http://127.0.0.1:9"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert end.value.code == 1
    assert [row["name"] for row in rows if row["state"] == "failed"] == ["MLflow"]
    assert all(row["fix"] for row in rows if row["state"] != "ok")
    assert os.listdir(tmp_path) == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
