"""Parts of a cluster of three hosts are lost during a sweep; what comes out is what an undisturbed sweep gives.

The hosts are namespaces of this machine with an sshd and a raylet each; Ray is brought up by `ray up` and each sweep is
a `ray submit`. Where namespaces are not permitted, three raylets on one host stand in for the loss of a host, and the
rest is skipped. docs/cluster.md has a row for each test, with the times that it prints. One command runs them as root,
installing what is missing: `python -m pytest -m cluster tests/cluster/three_hosts -s`.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from raycon.events import Event, parse
from raycon.history import LOG_NAME, read_sweep
from raycon.searching import sweep as run_sweep
from raycon.settings import Settings
from tests.hosts.clusters import HEAD, WORKERS, RayCluster, outcome, space
from tests.hosts.nodes import OneMachine
from tests.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS, TRIALS = 16, 2
PATIENCE = 600.0
SCORE = "validation/nearest_neighbours/accuracy"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The same search in this process, one run after another, without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "undisturbed.yaml"
    path.write_text(yaml.safe_dump(space("undisturbed", data="digits", epochs=EPOCHS, trials=TRIALS)))
    return outcome(run_sweep(path, settings=Settings(out=folder / "out", tracking="off", here=True)).history)


class Disturbed:
    """A sweep on the cluster with one run at a time, and what it says of itself."""

    def __init__(self, cluster: RayCluster, name: str, slots: int = 1):
        self.cluster, self.name = cluster, name
        self.file = cluster.hosts.shared / f"{name}.yaml"
        self.file.write_text(yaml.safe_dump(space(name, data="digits", epochs=EPOCHS, trials=TRIALS)))
        self.command = ["sweep", str(self.file), "--slots", str(slots), "--json", "--tracking", cluster.store]

    def events(self) -> list[Event]:
        """The log on the present head, as far as it goes."""
        log = self.cluster.out(self.name) / LOG_NAME
        return parse(log.read_bytes())[0] if log.exists() else []

    def of(self, kind: str, after: float = 0.0) -> list[Event]:
        """The events of a kind after a moment."""
        return [event for event in self.events() if event.kind == kind and event.time > after]

    def until(self, kind: str, count: int, process: subprocess.Popen[bytes], after: float = 0.0) -> float:
        """Wait for so many events of a kind after a moment; the time of the last of them."""

        def there() -> bool:
            found = len(self.of(kind, after)) >= count
            assert found or process.poll() is None, self.said()
            return found

        wait_until(there, PATIENCE, f"{count} x {kind}", words=self.cluster.words)
        return self.of(kind, after)[count - 1].time

    def goes_on(self, process: subprocess.Popen[bytes], killed: float) -> tuple[float, float]:
        """When the driver noticed a loss, and when the next epoch after that was scored."""
        lost = self.until("lost", 1, process, after=killed)
        return lost, self.until("scored", 1, process, after=lost)

    def told(self) -> list[dict[str, Any]]:
        """What `--json` told so far, over all submissions: an event a line."""
        found = []
        for line in self.cluster.words.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"kind"' in line:
                found.append(json.loads(line))
        return found

    def said(self) -> str:
        return self.cluster.words.read_text(errors="replace")[-6000:]

    def actor(self) -> tuple[str, int]:
        """(host, pid) of the process that trains."""
        event = self.of("process")[-1]
        assert event["role"] == "trial actor"
        return event["host"], event["pid"]

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        assert process.wait(PATIENCE) == 0, self.said()

    def check(self, undisturbed: list[tuple[Any, ...]], first: int) -> None:
        """Every run is there once, with the results of an undisturbed sweep; the disturbed one did not repeat an epoch
        that it had a checkpoint of; MLflow has each score once. `first`: what `told` held before this sweep."""
        history = self.cluster.history(self.name)
        assert history is not None and history.finished
        assert outcome(history) == undisturbed
        assert [run.state for run in history.runs] == ["complete"] * TRIALS
        assert len({run.key for run in history.runs}) == TRIALS
        self.check_course([event for event in self.told()[first:] if event.get("number") == 0])
        self.check_tracking()

    def check_course(self, told: list[dict[str, Any]]) -> None:
        """Each start of run 0 after the first goes on after the newest scored epoch, as its worker tells."""
        starts = [index for index, event in enumerate(told) if event["kind"] == "started"]
        assert len(starts) > 1, told
        for start, end in zip(starts, [*starts[1:], len(told)], strict=True):
            before = [event["epoch"] for event in told[:start] if event["kind"] == "scored"]
            trained = [event["epoch"] for event in told[start:end] if event["kind"] in ("progress", "scored")]
            assert min(trained, default=EPOCHS) > max(before, default=0), told

    def check_tracking(self) -> None:
        """One MLflow run for each run, and one value for each epoch."""
        with closing(sqlite3.connect(self.cluster.hosts.shared / "mlflow.db")) as database:
            ours = "SELECT run_uuid FROM tags WHERE key = 'raycon.sweep' AND value = ?"
            runs = f"SELECT run_uuid FROM tags WHERE key = 'raycon.kind' AND value = 'run' AND run_uuid IN ({ours})"
            found = database.execute(
                f"SELECT run_uuid, COUNT(*), COUNT(DISTINCT step) FROM metrics WHERE key = ? AND run_uuid IN ({runs})"
                " GROUP BY run_uuid",
                (SCORE, self.name),
            ).fetchall()
            states = database.execute(f"SELECT status FROM runs WHERE run_uuid IN ({runs})", (self.name,)).fetchall()
            kept = database.execute(f"SELECT COUNT(*) FROM ({ours})", (self.name,)).fetchone()[0]
        assert [row[1:] for row in found] == [(EPOCHS, EPOCHS)] * TRIALS
        assert states == [("FINISHED",)] * TRIALS
        assert kept == TRIALS + 1


def report(what: str, **seconds: float) -> None:
    """Print measured times: they stand in docs/cluster.md."""
    told = ", ".join(f"{name.replace('_', ' ')} {value:.1f} s" for name, value in seconds.items())
    print(f"\nMEASURED {what}: {told}")


def test_worker_processes_and_hosts_are_lost(cluster: RayCluster, undisturbed: list[tuple[Any, ...]]) -> None:
    sweep = Disturbed(cluster, "workers-lost")
    before = len(sweep.told()) if cluster.words.exists() else 0
    with cluster.submitted(*sweep.command) as process:
        sweep.until("scored", 2, process)
        killed = kill_the_process_that_trains(sweep)
        lost, again = sweep.goes_on(process, killed)
        report("worker process killed", noticed_after=lost - killed, next_epoch_after=again - killed)
        victim, cut = lose_the_host_that_trains(sweep)
        lost, again = sweep.goes_on(process, cut)
        report("host cut off and killed", noticed_after=lost - cut, next_epoch_after=again - cut)
        # Now the other one too: there is no room left until a host is back.
        other, cut = lose_the_host_that_trains(sweep)
        assert {victim, other} == set(WORKERS)
        sweep.until("lost", 1, process, after=cut)
        cluster.hosts.start(victim, disk="kept")
        back = time.time()
        joined = back + cluster.wait_for_hosts(victim)
        again = sweep.until("scored", 1, process, after=back)
        assert sweep.actor()[0] == victim
        report("the host back again", member_after=joined - back, next_epoch_after=again - back)
        sweep.finish(process)
    sweep.check(undisturbed, before)
    cluster.hosts.start(other, disk="kept")
    cluster.wait_for_hosts(*WORKERS)


def kill_the_process_that_trains(sweep: Disturbed) -> float:
    """SIGKILL it: the moment."""
    victim = sweep.cluster.process(*sweep.actor())
    killed = time.time()
    victim.kill()
    return killed


def lose_the_host_that_trains(sweep: Disturbed) -> tuple[str, float]:
    """Pull its cable and kill it: its name, and the moment."""
    victim = sweep.actor()[0]
    assert victim in WORKERS
    cut = time.time()
    sweep.cluster.hosts.cut(victim)
    sweep.cluster.hosts.kill(victim)
    return victim, cut


def test_driver_and_head_are_lost(cluster: RayCluster, undisturbed: list[tuple[Any, ...]]) -> None:
    sweep = Disturbed(cluster, "head-lost")
    before = len(sweep.told()) if cluster.words.exists() else 0
    with cluster.submitted(*sweep.command) as process:
        sweep.until("scored", 2, process)
        victim = cluster.process(HEAD, sweep.of("opened")[-1]["pid"])
        killed = time.time()
        victim.kill()
        assert process.wait(PATIENCE) != 0, "a killed driver is no success"
        noticed = time.time()
    with cluster.submitted(*sweep.command) as process:
        again = sweep.until("scored", 1, process, after=killed)
        report("driver killed", noticed_after=noticed - killed, next_epoch_after_the_same_command=again - noticed)
        lost = lose_the_head(sweep, process)
    began = time.time()
    with cluster.submitted(*sweep.command) as process:
        again = sweep.until("scored", 1, process, after=lost)
        report("the same command on a new head", next_epoch_after=again - began)
        sweep.finish(process)
    sweep.check(undisturbed, before)
    assert [attempt.number for attempt in read_sweep(cluster.out(sweep.name)).attempts] == [1, 2, 3]
    assert (Path(cluster.hosts.shared) / sweep.name / LOG_NAME).read_bytes() == (
        cluster.out(sweep.name) / LOG_NAME
    ).read_bytes()


def lose_the_head(sweep: Disturbed, process: subprocess.Popen[bytes]) -> float:
    """Cut the head off, kill it, and bring up another one in its place, with an empty disk: the moment of the cut."""
    cluster = sweep.cluster
    old = cluster.out(sweep.name)
    cut = time.time()
    cluster.hosts.cut(HEAD)
    cluster.hosts.kill(HEAD)
    assert process.wait(PATIENCE) != 0, "a lost head is no success"
    noticed = time.time()
    cluster.hosts.start(HEAD)
    assert not cluster.out(sweep.name).exists(), "the new head knows nothing"
    assert old != cluster.out(sweep.name)
    cluster.down()
    cluster.up()
    report("head lost", noticed_after=noticed - cut, new_head_up_after=time.time() - noticed)
    return cut


def test_a_lost_raylet_of_one_machine(machine: OneMachine, undisturbed: list[tuple[Any, ...]]) -> None:
    name = "raylet-lost"
    with machine.started(space(name, data="digits", epochs=EPOCHS, trials=TRIALS), slots=1) as process:

        def scores() -> list[float]:
            assert process.poll() in (None, 0), machine.words.read_text(errors="replace")[-6000:]
            return [event.time for event in machine.events(name) if event.kind == "scored"]

        wait_until(lambda: len(scores()) >= 2, PATIENCE, "two epochs", words=machine.words)
        victim = machine.nodes_of(name, "trial actor")[-1]
        killed = time.time()
        machine.lose(victim)
        wait_until(lambda: machine.nodes_of(name, "trial actor")[-1] != victim, PATIENCE, "another raylet")
        assert process.wait(PATIENCE) == 0
    again = next(moment for moment in scores() if moment > killed)
    assert outcome(read_sweep(machine.folder / "out" / name)) == undisturbed
    report("raylet killed", next_epoch_after=again - killed)
