"""What a cluster says that it is: its nodes, and how far its autoscaler may let it grow."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import psutil

from raycon.cluster.capacity import NO_LIMIT, Capacity, Declared, Node, NodeType, declared_by

HEAD = "node:__internal_head__"
PATIENCE = 20.0
"""Seconds for the head to answer."""

UNKNOWN = Declared((NodeType("unknown", NO_LIMIT, None),), NO_LIMIT, "its autoscaler")
"""An autoscaler is at work, but what it may start is not to be read: nothing is refused, everything is waited for."""


def capacity_now(*, started_here: bool) -> Capacity:
    """The nodes of the Ray that this process is connected to, and what its autoscaler may add; a Ray that was started
    here does not grow."""
    import ray

    untyped: Any = ray
    nodes = [node for node in untyped.nodes() if node["Alive"]]
    nodes.sort(key=lambda node: HEAD not in node["Resources"])
    present = tuple(
        Node(float(node["Resources"].get("CPU", 0)), float(node["Resources"].get("GPU", 0))) for node in nodes
    )
    return Capacity(present, None if started_here else declared_now(nodes))


def declared_now(nodes: list[dict[str, Any]]) -> Declared | None:
    """What the autoscaler may start, from Ray's own store, else from the file that the head's monitor was given."""
    stored = stored_config()
    if stored is not None:
        return stored
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    untyped: Any = ray
    context: Any = ray.get_runtime_context()
    port = str(context.gcs_address).rpartition(":")[2]
    head = next((node["NodeID"] for node in nodes if HEAD in node["Resources"]), None)
    if head is None or head == context.get_node_id():
        found = monitor_config(port)
    else:
        there = NodeAffinitySchedulingStrategy(head, soft=False)
        look = untyped.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(monitor_config)
        try:
            found = ray.get(look.remote(port), timeout=PATIENCE)
        except Exception:
            return UNKNOWN
    if found is None:
        return None
    config, source = found
    return declared_by(config, source) if config else UNKNOWN


def stored_config() -> Declared | None:
    """The cluster configuration in Ray's own store; only some launchers put one there."""
    from ray._private.state import state

    config: Any = None
    with contextlib.suppress(Exception):
        config = state.get_cluster_config()
    if config is None or not config.node_group_configs:
        return None
    types = []
    for group in config.node_group_configs:
        resources = dict(group.resources)
        size = Node(float(resources["CPU"]), float(resources.get("GPU", 0))) if "CPU" in resources else None
        types.append(NodeType(group.name, NO_LIMIT if group.max_count < 0 else group.max_count, size))
    return Declared(tuple(types), sum(kind.most for kind in types), "the cluster configuration")


def monitor_config(port: str) -> tuple[dict[str, Any], str] | None:
    """On the head: the file that `ray start --autoscaling-config` was given, and its name.

    None where this Ray does not grow. Empty where it may, but the file is not to be read: it is damaged, or the
    autoscaler runs beside the head in a container of its own, as on Kubernetes.
    """
    import yaml

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            given = [word.partition("=")[2] for word in words if word.startswith("--autoscaling-config=")]
            ours = any(word.startswith("--gcs-address=") and word.endswith(f":{port}") for word in words)
            if given and given[0] and ours:
                try:
                    config = yaml.safe_load(Path(given[0]).expanduser().read_text())
                except (OSError, yaml.YAMLError):
                    config = None
                return config if isinstance(config, dict) else {}, given[0]
    return ({}, "Kubernetes") if "KUBERNETES_SERVICE_HOST" in os.environ else None
