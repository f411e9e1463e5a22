"""One Ray for all tests of this folder that need one: starting it takes longer than most of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with two CPUs and the dashboard, which Train's cleaner of placement groups needs."""
    import ray

    from raycon.cluster.session import QUIET, environment

    settings = {**QUIET, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    address = os.environ.pop("RAY_ADDRESS", None)
    with environment(settings):
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=True,
            object_store_memory=150 * 1024**2,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()
    if address is not None:
        os.environ["RAY_ADDRESS"] = address
