"""How many runs fit: what a worker takes, the nodes that are there, and those that the cluster may still start.

Pure planning without Ray. Refused is only what can never exist, since Ray would wait for it for ever; what could come
to exist, because the cluster grows or because somebody else gives resources back, is waited for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raycon.errors import InvalidFile, nearest

GRAIN = 10_000
"""Ray counts resources in ten-thousandths."""

NO_LIMIT = 2**31


@dataclass(frozen=True)
class Worker:
    """How many workers a run has and what each takes."""

    workers: int
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Node:
    """What one machine has."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class NodeType:
    """A kind of machine that the cluster may start, up to `most` of them; `node` is None where its size is not known
    before it is there."""

    name: str
    most: int
    node: Node | None


@dataclass(frozen=True)
class Declared:
    """What a growing cluster may come to: machines of these types beside the head, at most `most` in all."""

    types: tuple[NodeType, ...]
    most: int
    source: str


@dataclass(frozen=True)
class Capacity:
    """The nodes that are there, the head first, and what is declared; None for a cluster that does not grow."""

    present: tuple[Node, ...]
    declared: Declared | None = None


@dataclass(frozen=True)
class Slots:
    """How many runs go on at a time at most, and how many of them the nodes that are there can hold."""

    slots: int
    now: int
    worker: Worker


def worker_of(resources: Mapping[str, float] | None, workers: int, *, gpus_there: bool) -> Worker:
    """What each worker takes: as asked, else one CPU, and one GPU where there are any.

    One worker may take a part of a GPU, which then holds several runs; several workers need whole ones, since nccl
    refuses two ranks on one GPU. Raises InvalidFile for amounts that Ray cannot hand out.
    """
    wanted = dict(resources or {})
    for name in wanted:
        if name not in ("cpu", "gpu"):
            raise InvalidFile(f"unknown {name!r}{nearest(name, ('cpu', 'gpu'))}; there are cpu, gpu", field="resources")
    worker = Worker(workers, float(wanted.get("cpu", 1)), float(wanted.get("gpu", 1 if gpus_there else 0)))
    for name, amount in (("cpu", worker.cpus), ("gpu", worker.gpus)):
        if not math.isfinite(amount) or amount < 0 or 0 < amount < 1 / GRAIN:
            raise InvalidFile(f"{name}: {amount:g} is not 0 or between {1 / GRAIN:g} and infinity", field="resources")
    if worker.gpus > 1 and worker.gpus != int(worker.gpus):
        raise InvalidFile(f"gpu: {worker.gpus:g} is neither a part of one GPU nor a whole number", field="resources")
    if workers > 1 and 0 < worker.gpus < 1:
        reason = f"gpu: {worker.gpus:g} each for {workers} workers: nccl needs a whole GPU for every worker of a run"
        raise InvalidFile(reason, field="resources")
    if worker.cpus == 0 and worker.gpus == 0:
        raise InvalidFile("a worker takes neither CPU nor GPU", field="resources")
    return worker


def fits(node: Node, worker: Worker) -> int:
    """How many workers a node holds. Parts of a GPU lie on one device: two devices hold two workers of 0.6, not 3."""
    room: int = NO_LIMIT
    if worker.cpus:
        room = min(room, grains(node.cpus) // grains(worker.cpus))
    if 0 < worker.gpus < 1:
        room = min(room, int(node.gpus) * (GRAIN // grains(worker.gpus)))
    elif worker.gpus:
        room = min(room, int(node.gpus) // int(worker.gpus))
    return room


def grains(amount: float) -> int:
    """An amount in Ray's units."""
    return round(amount * GRAIN)


def room(nodes: Sequence[Node], worker: Worker) -> int:
    """How many workers the nodes hold; a worker lies on one node."""
    return sum(fits(node, worker) for node in nodes)


def most_ever(capacity: Capacity, worker: Worker) -> int | None:
    """How many workers the cluster can ever hold; None where that is not known.

    Nodes that are there may belong to the declared types or not, so the larger of both is what is sure: too much costs
    a wait that is told of, too little would refuse what is possible. Idle machines of one type are given back, and then
    make room for another.
    """
    head, others = capacity.present[:1], capacity.present[1:]
    there, declared = room(others, worker), capacity.declared
    if declared is None:
        return room(head, worker) + there
    if grows_unseen(capacity):
        return None
    left, growing = declared.most, 0
    known = [(fits(kind.node, worker), kind.most) for kind in declared.types if kind.node is not None]
    for each, most in sorted(known, reverse=True):
        taken = min(most, left)
        growing, left = growing + each * taken, left - taken
    return room(head, worker) + max(there, growing)


def grows_unseen(capacity: Capacity) -> bool:
    """Whether machines may come whose size is not known. Machines of one type that are all there are known."""
    declared = capacity.declared
    if declared is None or not any(kind.node is None and kind.most > 0 for kind in declared.types):
        return False
    return len(declared.types) > 1 or declared.most > len(capacity.present) - 1


def plan_room(capacity: Capacity, worker: Worker, slots: int | None, most_useful: int) -> Slots:
    """Fit runs of `worker` to the cluster: `slots` at a time, by default as many as it can ever hold, and never more
    than `most_useful`. Raises InvalidFile where even the largest cluster cannot hold them."""
    ever = most_ever(capacity, worker)
    if ever is not None and ever < worker.workers * (slots or 1):
        raise InvalidFile(refusal(capacity, worker, slots or 1, ever), field="resources")
    possible = most_useful if ever is None else ever // worker.workers
    chosen = max(1, min(slots or possible, most_useful))
    return Slots(chosen, min(chosen, room(capacity.present, worker) // worker.workers), worker)


def counted_on(capacity: Capacity, worker: Worker, slots: int | None, *, alone: bool) -> int:
    """How many runs at a time whoever starts a sweep counts on: those asked for, else those that fit, as far as that is
    known. Zero where nobody does: that CPUs of a single machine, or of a Ray of one's own (`alone`), stay free is
    nothing to tell of, but GPUs and further machines are there, or would be started, for the runs."""
    if slots:
        return slots
    machines = sum(fits(node, worker) > 0 for node in capacity.present)
    if not worker.gpus and (alone or (capacity.declared is None and machines < 2)):
        return 0
    ever = most_ever(capacity, worker)
    return (room(capacity.present, worker) if ever is None else ever) // worker.workers


def refusal(capacity: Capacity, worker: Worker, slots: int, ever: int) -> str:
    """Why a plan is refused, in numbers: a total that is too small, or nodes that are each too small."""
    place = "in the cluster"
    if capacity.declared is not None:
        place += f" with all that {capacity.declared.source} may start"
    asked = f"({slots} slots of {worker.workers} workers with %s each)"
    for name, each, there in (
        ("CPU", worker.cpus, total(capacity, "cpus")),
        ("GPU", worker.gpus, total(capacity, "gpus")),
    ):
        if grains(each) * worker.workers * slots > grains(there):
            wanted = each * worker.workers * slots
            return f"{there:g} {name} {place}, asked {wanted:g} {asked % f'{each:g}'}"
    share = " and ".join(f"{each:g} {name}" for each, name in ((worker.cpus, "CPU"), (worker.gpus, "GPU")) if each)
    sizes = sorted({node_text(node) for node in capacity.present})
    wanted_text = f"asked {worker.workers * slots} {asked % share}"
    return f"{ever} workers fit on the nodes {place}, {wanted_text}; nodes that are there: {', '.join(sizes) or 'none'}"


def node_text(node: Node) -> str:
    """A node in words."""
    return f"{node.cpus:g} CPU" + (f" and {node.gpus:g} GPU" if node.gpus else "")


def total(capacity: Capacity, field: str) -> float:
    """The most of one resource that the cluster can ever have."""
    head, others = capacity.present[:1], capacity.present[1:]
    there = sum(getattr(node, field) for node in others)
    growing, declared = 0.0, capacity.declared
    if declared is not None:
        left = declared.most
        for each, most in sorted(
            ((getattr(kind.node, field), kind.most) for kind in declared.types if kind.node is not None), reverse=True
        ):
            taken = min(most, left)
            growing, left = growing + each * taken, left - taken
    return float(sum(getattr(node, field) for node in head) + max(there, growing))


def declared_by(config: Mapping[str, Any], source: str) -> Declared:
    """What a cluster file of Ray's autoscaler declares. A type whose resources are not written down (the provider's to
    know, or the node's own) has no known size."""
    head, kinds, types = config.get("head_node_type"), config.get("available_node_types") or {}, []
    for name, kind in kinds.items():
        if name == head and len(kinds) > 1 and not kind.get("max_workers"):
            continue
        resources = kind.get("resources") or {}
        node = Node(float(resources["CPU"]), float(resources.get("GPU", 0))) if "CPU" in resources else None
        most = kind.get("max_workers", config.get("max_workers", 0))
        types.append(NodeType(str(name), int(most or 0), node))
    return Declared(tuple(types), int(config.get("max_workers") or 0), source)
