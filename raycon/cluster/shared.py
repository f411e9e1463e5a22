"""Whether a folder for weights is the same one on every node: asked before a sweep is started on several."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raycon.cluster.doctor import answers
from raycon.errors import InvalidFile
from raycon.object_storage import is_uri

logger = logging.getLogger("raycon")

PATIENCE = 20.0
"""Seconds for all nodes to answer; a node that does not is told of and no more."""
LOOK_FOR = 5.0
"""Seconds for which a node looks for the file: on NFS it may appear later."""
NAMED = 3
"""Nodes that a message names."""


def refuse_unshared(storage: str, here: str | None = None) -> None:
    """Raise InvalidFile if a node that may train does not see what this process has just written to a folder.

    Nodes with the address `here`, by default this process's own, are not asked: nor are those that come later. Nothing
    is asked for a URI, which `check_reachable` has tried.
    """
    if is_uri(storage):
        return
    untyped: Any = ray
    others = elsewhere(untyped.nodes(), here or untyped.util.get_node_ip_address())
    if not others:
        return
    folder = Path(storage)
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f".raycon-shared-{uuid.uuid4().hex[:8]}"
    marker.write_text(marker.name)
    look: Any = ray.remote(sees)
    try:
        asked = {
            name: look.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(str(marker), LOOK_FOR)
            for name, node in others.items()
        }
        told, silent = answers(asked, PATIENCE)
    finally:
        with contextlib.suppress(OSError):
            marker.unlink()
    judge(storage, told, silent)


def elsewhere(nodes: Sequence[Mapping[str, Any]], here: str) -> dict[str, str]:
    """The ids of the living nodes at other addresses that may train, by a name for people, as the doctor's."""
    return {
        f"{node['NodeManagerAddress']}#{number} ({node.get('NodeManagerHostname', '')})": str(node["NodeID"])
        for number, node in enumerate(nodes)
        if node["Alive"]
        and node["NodeManagerAddress"] != here
        and (node["Resources"].get("CPU", 0) or node["Resources"].get("GPU", 0))
    }


def sees(marker: str, seconds: float) -> bool:
    """Whether the file is there and holds its name, within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            os.listdir(os.path.dirname(marker))  # has a network file system look anew
            if Path(marker).read_text() == os.path.basename(marker):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def judge(storage: str, told: Mapping[str, bool], silent: Mapping[str, str]) -> None:
    """Refuse where a node does not see the file; a node that has not answered is warned of. Raises InvalidFile."""
    blind = [name for name, seen in told.items() if not seen]
    if blind:
        reason = (
            f"{storage} is not shared: {named(blind)} cannot see what was written there, so checkpoints would be lost. "
            "Name a folder that all nodes mount, or a bucket, by --storage or RAYCON_STORAGE; docs/cluster.md, Where "
            "things lie"
        )
        raise InvalidFile(reason, field="storage")
    for name, reason in silent.items():
        logger.warning("%s could not be asked whether it sees %s: %s", name, storage, reason)


def named(nodes: Sequence[str]) -> str:
    """Some of the nodes, in words."""
    more = f" and {len(nodes) - NAMED} more nodes" if len(nodes) > NAMED else ""
    return ("node " if len(nodes) == 1 else "nodes ") + ", ".join(nodes[:NAMED]) + more
