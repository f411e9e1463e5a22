"""What many trials cost the driver: `python -m raycon.cluster.scale --trials 1000 --nodes 3`.

A cluster of several nodes is simulated by processes of this machine, and a sweep over runs that do nothing goes through
all of it: searcher, event log, Tune, actors on each node. Printed are wall time, processor time and memory of the
driver for each stretch of trials; what grows with the number of trials shows as a difference between the stretches.
With `--search FILE` the driver alone is measured, over a real space and its Optuna sampler, without Ray. `--out` says
where the event log is written: on a slow disk the wall time shows what waiting for it costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from raycon.cluster.overhead import ACCURACY, FACTORY, idle_driver
from raycon.cluster.search import run_sweep
from raycon.config import Sweep
from raycon.driver import Driver
from raycon.driver_contract import Assignment
from raycon.events import EventLog
from raycon.history import LOG_NAME


@dataclass(frozen=True)
class Moment:
    """The state of the driver when a number of trials had ended: seconds and memory of its process, and the log."""

    trials: int
    wall: float
    cpu: float
    memory: int
    log: int


@dataclass(frozen=True)
class Stretch:
    """What each of some trials cost, from the moment before them to the one after."""

    trials: int
    wall_per_trial: float
    cpu_per_trial: float
    memory: int
    log_per_trial: float


class Meter:
    """An observer that notes the state of this process at each end of a run."""

    def __init__(self, log: Path):
        self.log = log
        self.moments: list[Moment] = []

    def on_event(self, event: dict[str, Any]) -> None:
        """Note the moment."""
        if event["kind"] == "ended":
            self.note(len(self.moments) + 1)

    def note(self, trials: int) -> None:
        """The state after so many trials."""
        size = self.log.stat().st_size if self.log.exists() else 0
        memory = psutil.Process().memory_info().rss
        self.moments.append(Moment(trials, time.monotonic(), time.process_time(), memory, size))

    def stretches(self, count: int, skip: int) -> list[Stretch]:
        """`count` stretches of equal length, without the first `skip` trials, which pay for the start of processes."""
        moments = self.moments[skip:]
        length = (len(moments) - 1) // count
        ends = [moments[number * length] for number in range(count + 1)]
        return [between(before, after) for before, after in itertools.pairwise(ends)]


def between(before: Moment, after: Moment) -> Stretch:
    """The costs of the trials between two moments."""
    trials = after.trials - before.trials
    wall, cpu = (after.wall - before.wall) / trials, (after.cpu - before.cpu) / trials
    return Stretch(trials, wall, cpu, after.memory, (after.log - before.log) / trials)


@contextmanager
def simulated(nodes: int, cpus: int) -> Iterator[None]:
    """A cluster that this process is connected to: `nodes` raylets of this machine with `cpus` logical CPUs each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster()
    try:
        for number in range(nodes):
            # The usual port of the dashboard may be that of another Ray on this machine.
            head = {"include_dashboard": True, "dashboard_port": free_port()} if number == 0 else {}
            cluster.add_node(num_cpus=cpus, **head)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def measure(trials: int, nodes: int, cpus: int, epochs: int, folder: Path) -> Meter:
    """Run `trials` trials that do nothing over simulated nodes, one at a time on each CPU. Each epoch is one report."""
    sweep = Sweep(maximize=(ACCURACY,), trials=trials, lag=nodes * cpus - 1)
    driver = idle_driver(folder, sweep, {"training": {"epochs": epochs}, "idle": {"steps": 1, "seconds": 0.0}})
    meter = Meter(folder / LOG_NAME)
    driver.open()
    try:
        run_sweep(driver, sweep, factory=FACTORY, observer=meter, folder=folder)
    finally:
        driver.close()
    if driver.history.counts() != {"complete": trials}:
        raise RuntimeError(f"the runs ended as {driver.history.counts()}")
    return meter


def measure_search(file: str, overrides: Sequence[str], trials: int, epochs: int, folder: Path) -> Meter:
    """The driver over a real space and its sampler, told of made-up scores, without Ray and without any training."""
    from dataclasses import replace

    from raycon.cluster.sampling import OptunaSampler
    from raycon.disk import RealDisk
    from raycon.space import load

    space = load(file, overrides)
    sweep = replace(space.sweep, trials=trials, stop_early=None)
    log = EventLog(RealDisk(), folder / LOG_NAME, None, clock=time.time)
    driver = Driver(sweep, space.name, space.identity(), space, OptunaSampler(space, sweep), log, str(folder))
    meter = Meter(folder / LOG_NAME)
    driver.open()
    while isinstance(assignment := driver.next(), Assignment):
        driver.started(assignment.key, assignment.try_)
        metrics = {name: (assignment.number * 0.618) % 1.0 for name in (*sweep.maximize, *sweep.minimize)}
        for epoch in range(1, epochs + 1):
            driver.scored(assignment.key, epoch, metrics, None, done=epoch == epochs)
        meter.note(assignment.number + 1)
    driver.close()
    return meter


def lines(stretches: Sequence[Stretch], as_json: bool) -> Iterator[str]:
    """The stretches for people or machines."""
    done = 0
    for one in stretches:
        done += one.trials
        if as_json:
            yield json.dumps(asdict(one))
            continue
        times = f"wall {1000 * one.wall_per_trial:.1f} ms, processor {1000 * one.cpu_per_trial:.1f} ms"
        yield f"+{done:>5}: {times}, log {one.log_per_trial:.0f} bytes a trial; memory {one.memory / 1024**2:.0f} MB"


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--trials", type=int, default=100)
    found.add_argument("--nodes", type=int, default=3)
    found.add_argument("--cpus", type=int, default=2, help="logical CPUs of a node")
    found.add_argument("--epochs", type=int, default=1, help="scored epochs of a trial")
    found.add_argument("--stretches", type=int, default=5, help="how many parts the trials are told in")
    found.add_argument("--search", metavar="FILE", help="the driver alone, over this space")
    found.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help="changes that space")
    found.add_argument("--out", metavar="FOLDER", help="the event log lies in a folder of its own there")
    found.add_argument("--json", action="store_true")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        if options.search:
            chosen = (options.search, options.set, options.trials, options.epochs)
            meter, skip = measure_search(*chosen, Path(folder)), 0
        else:
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            skip = 2 * options.nodes * options.cpus
            with simulated(options.nodes, options.cpus):
                meter = measure(options.trials, options.nodes, options.cpus, options.epochs, Path(folder))
    for line in lines(meter.stretches(options.stretches, skip), options.json):
        print(line)
    whole = meter.moments[-1]
    unit = 1 if sys.platform == "darwin" else 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024**2
    took = whole.wall - meter.moments[0].wall
    print(f"{whole.trials} trials in {took:.1f} s after the first; driver: {whole.cpu:.1f} s, at most {largest:.0f} MB")


if __name__ == "__main__":
    main()
