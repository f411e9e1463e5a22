"""The plan of slots against a slow search over all clusters that the declaration allows. No Ray."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycon.cluster.capacity import (
    Capacity,
    Declared,
    Node,
    NodeType,
    Slots,
    Worker,
    declared_by,
    most_ever,
    plan_room,
    room,
    total,
    worker_of,
)
from raycon.cluster.declared import UNKNOWN, monitor_config
from raycon.cluster.search import plan_slots
from raycon.cluster.session import Session
from raycon.errors import InvalidFile
from tests.cluster.inline import make_sweep

nodes = st.builds(Node, st.sampled_from([0, 1, 1.5, 2, 4]), st.sampled_from([0, 1, 2]))
shares = st.builds(
    Worker,
    st.integers(1, 3),
    st.sampled_from([0.25, 0.5, 0.7, 1, 2]),
    st.sampled_from([0, 0.25, 0.3, 0.6, 1, 2]),
).filter(lambda worker: worker.workers == 1 or worker.gpus >= 1 or worker.gpus == 0)
present = st.lists(nodes, min_size=1, max_size=3).map(tuple)
types = st.lists(st.builds(NodeType, st.just("type"), st.integers(0, 2), nodes), max_size=2).map(tuple)
declarations = st.none() | st.builds(Declared, types, st.integers(0, 3), st.just("a file"))
capacities = st.builds(Capacity, present, declarations)


def placed(machines: tuple[Node, ...], worker: Worker) -> int:
    """How many workers can be put somewhere, one after the other, each GPU counted by itself."""
    count = 0
    for node in machines:
        cpus, devices = round(node.cpus * 100), [100] * int(node.gpus)
        while cpus >= round(worker.cpus * 100) and taken(devices, worker.gpus):
            cpus -= round(worker.cpus * 100)
            count += 1
    return count


def taken(devices: list[int], gpus: float) -> bool:
    """Take a part of one device, or several whole ones, from the first that have it."""
    wanted = [round(gpus * 100)] if gpus < 1 else [100] * int(gpus)
    free = [place for place, left in enumerate(devices) if left >= wanted[0]]
    if gpus == 0:
        return True
    if len(free) < len(wanted):
        return False
    for place, amount in zip(free, wanted, strict=False):
        devices[place] -= amount
    return True


def clusters(capacity: Capacity) -> Iterator[tuple[Node, ...]]:
    """Every cluster that may come to be: what is there, or the head with any declared machines."""
    yield capacity.present
    declared = capacity.declared
    if declared is not None:
        for counts in itertools.product(*(range(kind.most + 1) for kind in declared.types)):
            if sum(counts) <= declared.most:
                added = [[kind.node] * n for kind, n in zip(declared.types, counts, strict=True) if kind.node]
                yield (capacity.present[0], *itertools.chain(*added))


@given(capacities, shares, st.none() | st.integers(1, 6), st.integers(1, 6))
def test_a_plan_is_what_the_largest_cluster_holds_and_nothing_possible_is_refused(
    capacity: Capacity, worker: Worker, slots: int | None, useful: int
) -> None:
    largest = max(placed(cluster, worker) for cluster in clusters(capacity))
    assert most_ever(capacity, worker) == largest
    if largest < worker.workers * (slots or 1):
        with pytest.raises(InvalidFile, match="asked"):
            plan_room(capacity, worker, slots, useful)
        return
    plan = plan_room(capacity, worker, slots, useful)
    assert plan.slots == min(slots or largest // worker.workers, useful)
    assert plan.slots * worker.workers <= largest
    assert plan.now == min(plan.slots, placed(capacity.present, worker) // worker.workers)


@given(present, nodes, shares)
def test_another_node_never_leaves_less_room(there: tuple[Node, ...], more: Node, worker: Worker) -> None:
    assert room((*there, more), worker) == room(there, worker) + placed((more,), worker)


@given(capacities, shares, st.integers(1, 6))
def test_what_is_not_known_is_waited_for(capacity: Capacity, worker: Worker, slots: int) -> None:
    plan = plan_room(Capacity(capacity.present, UNKNOWN), worker, slots, 6)
    assert plan.slots == slots
    assert plan.now == min(slots, room(capacity.present, worker) // worker.workers)


def test_a_cluster_that_grows_from_zero_is_planned_for_its_largest_size() -> None:
    gpus = Declared((NodeType("gpu", 4, Node(8, 1)),), 4, "cluster.yaml")
    capacity = Capacity((Node(0),), gpus)
    assert plan_room(capacity, Worker(1, 1, 1), None, 16) == Slots(4, 0, Worker(1, 1, 1))
    assert plan_room(capacity, Worker(2, 1, 1), None, 16) == Slots(2, 0, Worker(2, 1, 1))
    with pytest.raises(InvalidFile, match=r"4 GPU in the cluster with all that cluster\.yaml may start, asked 5"):
        plan_room(capacity, Worker(5, 1, 1), None, 16)


def test_nodes_that_are_each_too_small_are_told() -> None:
    with pytest.raises(InvalidFile, match=r"0 workers fit on the nodes in the cluster, asked 1 .* there: 3 CPU"):
        plan_room(Capacity((Node(3), Node(3))), Worker(1, 4, 0), None, 4)


def test_parts_of_a_gpu_lie_on_one_device() -> None:
    two = (Node(16, 2),)
    assert [room(two, Worker(1, 1, gpus)) for gpus in (0.25, 0.3, 0.5, 0.6, 1, 2)] == [8, 6, 4, 2, 2, 1]


@pytest.mark.parametrize(
    ("resources", "workers", "problem"),
    [
        ({"gpu": 0.5}, 2, "nccl needs a whole GPU"),
        ({"gpu": 1.5}, 1, "neither a part of one GPU nor a whole number"),
        ({"gpu": -1}, 1, "is not 0 or between"),
        ({"cpu": float("nan")}, 1, "is not 0 or between"),
        ({"cpu": 0.00001}, 1, "is not 0 or between"),
        ({"cpu": 0}, 1, "neither CPU nor GPU"),
        ({"gpus": 1}, 1, "did you mean 'gpu'"),
    ],
)
def test_shares_that_ray_cannot_hand_out_are_refused(resources: dict[str, float], workers: int, problem: str) -> None:
    with pytest.raises(InvalidFile, match=problem):
        worker_of(resources, workers, gpus_there=False)


def test_a_worker_takes_a_cpu_and_a_gpu_where_there_are_any() -> None:
    assert worker_of(None, 1, gpus_there=False) == Worker(1, 1, 0)
    assert worker_of(None, 2, gpus_there=True) == Worker(2, 1, 1)
    assert worker_of({"gpu": 0.25}, 1, gpus_there=True) == Worker(1, 1, 0.25)
    assert worker_of({"gpu": 0}, 2, gpus_there=True) == Worker(2, 1, 0)


def test_a_cluster_file_says_what_may_be_started() -> None:
    config = {
        "max_workers": 3,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "max_workers": 0},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "min_workers": 0, "max_workers": 2},
            "by the provider": {"resources": {}},
        },
    }
    found = declared_by(config, "cluster.yaml")
    assert found.most == 3
    assert found.types == (NodeType("gpu", 2, Node(8, 1)), NodeType("by the provider", 3, None))
    assert most_ever(Capacity((Node(0),), found), Worker(1, 1, 0)) is None


def test_a_cluster_of_known_machines_that_are_all_there_has_no_unknowns() -> None:
    config = {"max_workers": 1, "head_node_type": "own", "available_node_types": {"own": {"resources": {}}}}
    declared = declared_by(config, "cluster.yaml")
    assert most_ever(Capacity((Node(2), Node(2)), declared), Worker(1, 1, 0)) == 4
    assert most_ever(Capacity((Node(2),), declared), Worker(1, 1, 0)) is None


def test_idle_machines_of_one_type_make_room_for_another() -> None:
    """Two CPU machines are up, which is all that the file allows at a time: they are given back, and GPUs can come."""
    kinds = (NodeType("cpu", 2, Node(8)), NodeType("gpu", 2, Node(8, 1)))
    full = Capacity((Node(0), Node(8), Node(8)), Declared(kinds, 2, "cluster.yaml"))
    assert most_ever(full, Worker(1, 1, 1)) == 2
    assert total(full, "gpus") == 2
    assert plan_room(full, Worker(1, 1, 1), None, 16) == Slots(2, 0, Worker(1, 1, 1))
    unknown = (NodeType("cpu", 2, Node(8)), NodeType("by the provider", 2, None))
    assert most_ever(Capacity(full.present, Declared(unknown, 2, "cluster.yaml")), Worker(1, 1, 1)) is None


@pytest.mark.parametrize(
    ("capacity", "resources", "warned"),
    [
        (Capacity((Node(0),), UNKNOWN), None, True),
        (Capacity((Node(0),), UNKNOWN), {"cpu": 1, "gpu": 0}, False),
        (Capacity((Node(0), Node(8, 1)), UNKNOWN), None, False),
        (Capacity((Node(4),)), None, False),
    ],
)
def test_runs_that_may_miss_their_gpus_are_told_of(
    capacity: Capacity, resources: dict[str, float] | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster on Kubernetes that starts from zero: nothing says that its machines will have GPUs."""
    with caplog.at_level(logging.WARNING, "raycon"):
        plan_slots(Session(capacity, started_here=False), make_sweep(), None, resources)
    assert ("`--gpus 1` asks for a GPU each" in caplog.text) == warned


GPUS = Capacity((Node(32, 4),) * 4)
"""Four nodes of four GPUs, as `sbatch --nodes=4 --gpus-per-node=4` gives them."""
EIGHT = Declared((NodeType("gpu", 8, Node(8, 1)),), 8, "cluster.yaml")
CPU = {"cpu": 1, "gpu": 0}


@pytest.mark.parametrize(
    ("capacity", "alone", "slots", "resources", "told"),
    [
        (GPUS, False, 16, None, "4, though 16 are asked for"),
        (GPUS, False, None, None, "4, though 16 fit"),
        (GPUS, False, None, {"gpu": 0.5}, "4, though 32 fit"),
        (GPUS, False, 4, None, None),
        (Capacity((Node(32, 8),)), True, None, None, "4, though 8 fit"),
        (Capacity((Node(0),), EIGHT), False, None, {"gpu": 1}, "4, though 8 fit"),
        (Capacity((Node(0), *[Node(8, 1)] * 6), UNKNOWN), False, None, None, "4, though 6 fit"),
        (Capacity((Node(0),), UNKNOWN), False, None, {"gpu": 1}, None),
        # CPUs: of further machines, and where they were asked for; not those that one's own machine has besides.
        (Capacity((Node(0), Node(8), Node(8))), False, None, None, "4, though 16 fit"),
        (Capacity((Node(16),)), True, 8, None, "4, though 8 are asked for"),
        (Capacity((Node(16),)), True, None, None, None),
        (Capacity((Node(0), Node(16))), False, None, None, None),
        (Capacity((Node(16, 8),)), True, None, CPU, None),
    ],
)
def test_room_that_the_lag_leaves_idle_is_told_of_once(
    capacity: Capacity,
    alone: bool,
    slots: int | None,
    resources: dict[str, float] | None,
    told: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "raycon"):
        plan_slots(Session(capacity, started_here=alone), make_sweep(trials=100, lag=3), slots, resources)
    idle = [text for text in caplog.messages if "sweep.lag" in text]
    assert len(idle) == (told is not None)
    if told is not None:
        assert idle[0].startswith(f"runs at a time: {told}; a search has sweep.lag + 1") and "\n" not in idle[0]


@pytest.mark.parametrize(("trials", "left", "lag", "knob"), [(100, 100, 3, 15), (12, 12, 3, 11), (100, 5, 3, 15)])
def test_the_lag_that_fills_the_room_is_named(
    trials: int, left: int, lag: int, knob: int, caplog: pytest.LogCaptureFixture
) -> None:
    """No larger than the search has runs: slots beyond have nothing to do."""
    sweep = make_sweep(trials=trials, lag=lag)
    with caplog.at_level(logging.WARNING, "raycon"):
        assert plan_slots(Session(GPUS, started_here=False), sweep, 16, None, left).slots == 4
    (told,) = caplog.messages
    assert f"`--set sweep.lag={knob}` lets {knob + 1} go on; it is another search" in told
    fuller = make_sweep(trials=trials, lag=knob)
    caplog.clear()
    assert plan_slots(Session(GPUS, started_here=False), fuller, 16, None, left).slots == min(knob + 1, 16)
    assert not caplog.messages


@pytest.mark.parametrize(("trials", "left", "lag"), [(4, 4, 3), (100, 4, 3), (100, 0, 3), (15, 15, 15)])
def test_nothing_is_told_when_the_runs_left_have_room(
    trials: int, left: int, lag: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Few runs left, and lists of runs that do not wait for one another: repetitions, studies."""
    with caplog.at_level(logging.WARNING, "raycon"):
        plan_slots(Session(GPUS, started_here=False), make_sweep(trials=trials, lag=lag), 16, None, left)
    assert not caplog.messages


def test_kubernetes_keeps_its_declaration_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert monitor_config("1") is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert monitor_config("1") == ({}, "Kubernetes")
