"""Leftover processes and the fit of a sweep to the cluster, without Ray."""

from __future__ import annotations

import contextlib
import os
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from raycon.cluster import search
from raycon.cluster.capacity import Capacity, Node, Slots, Worker
from raycon.cluster.here import run_here
from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.cluster.search import plan_slots, refuse_missing_gpu, run_sweep
from raycon.cluster.session import MARK, Session, end_leftovers, environment, keep_token, marked_processes, start
from raycon.errors import InvalidFile
from tests.cluster.inline import TRIAL, make_sweep

ORPHAN = (
    "import subprocess, sys\n"
    "code = 'import time; time.sleep(60)'  # -3 is DEVNULL: the pipes of the parent must close\n"
    "child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True, stdout=-3, stderr=-3)\n"
    "print(child.pid, flush=True)\n"
)


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[psutil.Process]:
    """A marked process whose parent has ended, as a killed driver leaves it."""
    made = start_orphan({MARK: str(tmp_path.resolve())})
    yield made
    if made.is_running():
        made.kill()


def start_orphan(settings: dict[str, str]) -> psutil.Process:
    output = subprocess.run(
        [sys.executable, "-c", ORPHAN], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    ).stdout
    process = psutil.Process(int(output))
    deadline = time.monotonic() + 10
    while psutil.Process().pid in [parent.pid for parent in process.parents()] and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_marked_orphans_are_ended_and_others_are_not(tmp_path: Path, orphan: psutil.Process) -> None:
    other = start_orphan({MARK: str(tmp_path / "another")})
    try:
        assert orphan.pid in [process.pid for process in marked_processes(tmp_path)]
        assert end_leftovers(tmp_path, []) == [orphan.pid]
        assert gone(orphan) and not gone(other)
        assert end_leftovers(tmp_path, []) == []
    finally:
        other.kill()


def test_recorded_processes_are_ended_only_if_pid_time_and_host_agree(tmp_path: Path) -> None:
    process = start_orphan({})
    created = process.create_time()
    record = {"pid": process.pid, "created": created, "role": "rank 0", "host": os.uname().nodename}
    try:
        assert end_leftovers(tmp_path, [{**record, "created": created - 60}]) == []
        assert end_leftovers(tmp_path, [{**record, "host": "elsewhere"}]) == []
        assert not gone(process)
        assert end_leftovers(tmp_path, [record]) == [process.pid]
        assert gone(process)
    finally:
        if not gone(process):
            process.kill()


def test_workers_of_a_dead_raylet_are_ended(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    created = psutil.Process(dead.pid).create_time()
    dead.wait()
    worker = start_orphan({"RAY_RAYLET_PID": str(dead.pid)})
    record = {"pid": dead.pid, "created": created, "role": "ray", "host": os.uname().nodename}
    try:
        assert end_leftovers(tmp_path, [{**record, "created": created + 3600}]) == []
        assert end_leftovers(tmp_path, [record]) == [worker.pid]
        assert gone(worker)
    finally:
        if not gone(worker):
            worker.kill()


def test_this_process_and_its_children_are_spared(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, MARK: str(tmp_path.resolve())}
    )
    own = psutil.Process()
    try:
        recorded = [{"pid": own.pid, "created": own.create_time(), "role": "driver", "host": os.uname().nodename}]
        assert end_leftovers(tmp_path, recorded) == []
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def gone(process: psutil.Process) -> bool:
    """Ended, or a zombie that nobody waits for."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_environment_does_not_overrule_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_TEST_SET", "theirs")
    monkeypatch.delenv("RAYCON_TEST_UNSET", raising=False)
    with environment({"RAYCON_TEST_SET": "ours", "RAYCON_TEST_UNSET": "ours"}):
        assert os.environ["RAYCON_TEST_SET"] == "theirs" and os.environ["RAYCON_TEST_UNSET"] == "ours"
    assert os.environ["RAYCON_TEST_SET"] == "theirs" and "RAYCON_TEST_UNSET" not in os.environ


def plan(cpus: float, gpus: float, slots: int | None, resources: dict[str, float] | None, **sweep: Any) -> Slots:
    return plan_slots(one_node(cpus, gpus), make_sweep(**sweep), slots, resources)


def one_node(cpus: float, gpus: float) -> Session:
    return Session(Capacity((Node(cpus, gpus),)), True)


def test_slots_fill_the_cluster_up_to_the_lag() -> None:
    assert plan(2, 0, None, None, lag=3) == Slots(2, 2, Worker(1, 1.0, 0.0))
    assert plan(16, 0, None, None, lag=3).slots == 4
    assert plan(5, 0, None, None, lag=3, workers=2).slots == 2
    assert plan(16, 2, None, None, lag=3) == Slots(2, 2, Worker(1, 1.0, 1.0))
    assert plan(16, 1, None, {"cpu": 2, "gpu": 0.25}, lag=7).slots == 4
    assert plan(16, 0, 3, None, lag=0).slots == 1


def test_a_cluster_that_is_too_small_is_refused() -> None:
    with pytest.raises(InvalidFile, match="2 CPU in the cluster, asked 4"):
        plan(2, 0, None, None, workers=4)
    with pytest.raises(InvalidFile, match="0 GPU in the cluster, asked 1"):
        plan(2, 0, None, {"gpu": 1})
    with pytest.raises(InvalidFile, match="2 CPU in the cluster, asked 3"):
        plan(2, 0, 3, None)


def test_a_sweep_that_does_not_fit_has_asked_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "ray_session", lambda folder: contextlib.nullcontext(one_node(2, 0)))
    sweep = make_sweep()
    driver = idle_driver(tmp_path, sweep, TRIAL)
    driver.open()
    with pytest.raises(InvalidFile, match="2 CPU in the cluster, asked 9"):
        run_sweep(driver, sweep, slots=9, folder=tmp_path)
    assert driver.history.runs == []


def test_the_plan_is_made_for_the_runs_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that is nearly done does not tell of slots that its lag leaves empty."""
    sweep = make_sweep(trials=6, lag=1)
    driver = idle_driver(tmp_path, replace(sweep, trials=4), TRIAL)
    driver.open()
    run_here(driver, sweep, factory=FACTORY, folder=tmp_path)
    driver.close()
    driver = idle_driver(tmp_path, sweep, TRIAL)
    driver.open()
    told: list[int | None] = []

    def plan(session: Session, sweep: Any, slots: object, resources: object, left: int | None = None) -> Slots:
        told.append(left)
        raise InvalidFile("enough seen", field="slots")

    monkeypatch.setattr(search, "ray_session", lambda folder: contextlib.nullcontext(one_node(9, 0)))
    monkeypatch.setattr(search, "plan_slots", plan)
    with pytest.raises(InvalidFile, match="enough seen"):
        run_sweep(driver, sweep, slots=9, folder=tmp_path)
    driver.close()
    assert told == [2]


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="this machine has a GPU")
def test_a_missing_gpu_is_told_before_ray_is_started() -> None:
    started = time.monotonic()
    with pytest.raises(InvalidFile, match="0 GPU in the cluster, asked 1"):
        refuse_missing_gpu(1)
    assert time.monotonic() - started < 1


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of a user who never had a token and whose files are open to all; where the token belongs."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0)
    yield tmp_path / ".ray" / "auth_token"
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_token_is_nobody_elses_from_before_ray_begins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(ray, "init", lambda **options: seen.append((mode(home), mode(home.parent))))
    start(locally=True)
    assert seen == [(0o600, 0o700)]
    token = home.read_text()
    assert len(token) == 64 and set(token) <= set(string.hexdigits)
    start(locally=True)
    assert home.read_text() == token


def test_ray_takes_the_token_and_makes_no_other(home: Path) -> None:
    keep_token()
    asked = (
        "from ray._private.authentication import authentication_token_setup as setup\n"
        "from ray._raylet import AuthenticationTokenLoader\n"
        "setup.enable_token_auth_by_default(); setup.ensure_token_if_auth_enabled({}, create_token_if_missing=True)\n"
        "print(AuthenticationTokenLoader.instance().get_raw_token(), end='')\n"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert told == home.read_text() and mode(home) == 0o600


def test_a_token_that_is_there_stays_and_is_closed_to_others(home: Path) -> None:
    home.parent.mkdir(mode=0o755)
    home.write_text("theirs")
    assert mode(home) == 0o666
    keep_token()
    assert (home.read_text(), mode(home), mode(home.parent)) == ("theirs", 0o600, 0o755)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "secret"), ("RAY_AUTH_TOKEN_PATH", "elsewhere")],
)
def test_no_token_is_made_where_ray_needs_none(
    home: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    keep_token()
    assert not home.exists() and not home.parent.exists()
