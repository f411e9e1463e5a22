"""Hosts are apart from this machine and from each other, and nothing of them is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hosts import Hosts, loopback, network, unavailable
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STAY = """
import sys, time
from pathlib import Path
from tests.hosts import network
with network(Path(sys.argv[1])) as hosts:
    print(hosts.init.pid, hosts.start("a").init.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def needs_namespaces() -> None:
    if reason := unavailable():
        pytest.skip(reason)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Hosts]:
    with network(tmp_path) as hosts:
        hosts.start("a")
        hosts.start("b")
        yield hosts


def test_a_host_has_its_own_processes_home_and_network(pair: Hosts) -> None:
    assert pair.ssh("a", "hostname; cat /proc/1/comm").split() == ["a", "sshd"]
    pair.ssh("a", f"touch ~/mine /tmp/mine {sys.prefix}/mine {pair.shared}/ours")
    here = f"ls -d ~/mine /tmp/mine {sys.prefix}/mine {pair.shared}/ours 2>/dev/null"
    assert pair.ssh("b", here, check=False).split() == [f"{pair.shared}/ours"]
    assert not (Path(sys.prefix) / "mine").exists() and not Path("/tmp/mine").exists()
    assert pair.ssh("b", "getent hosts a").split() == ["10.77.0.10", "a"]
    assert pair.ssh("b", f"{sys.prefix}/bin/python -c 'print(1 + 1)'").strip() == "2"


def test_a_host_that_was_cut_off_and_killed_comes_back_empty(pair: Hosts) -> None:
    pair.ssh("b", "touch ~/mine")
    pair.cut("b")
    assert pair.hosts["b"].alive
    assert "timed out" in pair.ssh("b", "true", check=False)
    pair.mend("b")
    assert pair.ssh("b", "ls ~").split() == ["mine"]
    number = int(pair.ssh("b", "nohup sleep 600 >/dev/null 2>&1 & echo $!"))
    # Between fork and exec it has another name.
    wait_until(lambda: any(process.name() == "sleep" for process in pair.processes("b")), 30, "the sleep on b")
    inside = [process for process in pair.processes("b") if process.name() == "sleep"]
    assert number > 1 and len(inside) == 1
    pair.kill("b")
    assert [pair.hosts["b"].alive, inside[0].is_running()] == [False, False]
    pair.start("b")
    assert pair.ssh("b", "ls ~").split() == []
    assert pair.ssh("a", "hostname").strip() == "a"


def test_two_sets_of_hosts_have_the_same_addresses(pair: Hosts, tmp_path: Path) -> None:
    with loopback(tmp_path / "one") as other:
        assert other.ssh("lo", "hostname").strip() == "lo"
        with network(tmp_path / "more") as third:
            assert third.start("c").address == pair.hosts["a"].address
            assert third.ssh("c", "hostname").strip() == "c"


def test_a_killed_test_process_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STAY, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    inside = [psutil.Process(int(number)) for number in process.stdout.readline().split()]
    assert len(inside) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()

    def still() -> list[psutil.Process]:
        return [each for each in inside if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    wait_until(lambda: not still(), 60, lambda: f"the end of {still()}")


def test_a_command_that_fails_says_what_it_said(pair: Hosts) -> None:
    with pytest.raises(AssertionError, match=r"exit code 3\nlost"):
        pair.run(["bash", "-c", "echo lost; exit 3"])
    with pytest.raises(AssertionError, match=r"over 0\.2 s"):
        pair.run(["sleep", "60"], timeout=0.2)
