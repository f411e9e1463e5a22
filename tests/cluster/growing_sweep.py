"""A sweep in a cluster that starts with an empty head, as a program: `python -m tests.cluster.growing_sweep FOLDER`.

It prints what happened as JSON. The machines are processes that Ray's fake provider starts; they end with the head.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.cluster.search import plan_slots, run_sweep
from raycon.cluster.session import QUIET, environment, session_of
from raycon.errors import InvalidFile
from tests.cluster.inline import make_sweep

TRIAL = {"training": {"epochs": 2}, "idle": {"steps": 2, "seconds": 0.2}}
MACHINE = {"resources": {"CPU": 2, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2}
HEAD = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}


def cluster_file(folder: Path) -> Path:
    """Two machines at most, of one GPU each, beside the head."""
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True}
    config: dict[str, Any] = {
        "cluster_name": "growing",
        "max_workers": 2,
        "upscaling_speed": 20.0,
        "idle_timeout_minutes": 5,
        "provider": {**provider, "disable_launch_config_check": True},
        "available_node_types": {"gpu": MACHINE, "ray.head.default": HEAD},
        "head_node_type": "ray.head.default",
        "docker": {},
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    config |= {f"{name}_commands": [] for name in commands}
    path = folder / "growing.yaml"
    path.write_text(json.dumps(config))
    return path


def main(folder: Path) -> None:
    """Refuse what can never be, then run what fits once a machine has been started."""
    import ray
    from ray.cluster_utils import Cluster

    settings = {**QUIET, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    settings |= {"RAY_raylet_start_wait_time_s": "120"}
    with environment(settings):
        cluster: Any = Cluster()
        # The provider expects the head at this port.
        config = str(cluster_file(folder))
        cluster.add_node(num_cpus=0, gcs_server_port=6379, include_dashboard=False, autoscaling_config=config)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            print(json.dumps(tell(folder)), flush=True)
        finally:
            ray.shutdown()
            cluster.shutdown()


def tell(folder: Path) -> dict[str, object]:
    """What came of it."""
    import ray

    untyped: Any = ray
    started = time.monotonic()
    sweep = make_sweep(trials=12, lag=3)
    quarter = {"cpu": 0.25, "gpu": 0.25}
    refused = ""
    try:
        plan_slots(session_of(started_here=False), sweep, 3, {"cpu": 1, "gpu": 1})
    except InvalidFile as error:
        refused = str(error)
    found: dict[str, object] = {"refused": refused, "refused_after": time.monotonic() - started}
    found["nodes_before"] = len(untyped.nodes())
    found["slots"] = plan_slots(session_of(started_here=False), sweep, None, quarter).slots
    driver = idle_driver(folder, sweep, TRIAL)
    driver.open()
    run_sweep(driver, sweep, factory=FACTORY, slots=4, resources=quarter, folder=folder)
    driver.close()
    found["nodes_after"] = len([node for node in untyped.nodes() if node["Alive"]])
    found["seconds"] = time.monotonic() - started
    return found | {"counts": driver.history.counts()}


if __name__ == "__main__":
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    main(Path(sys.argv[1]).resolve())
