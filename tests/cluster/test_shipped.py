"""Shipped search spaces through Ray, short trials on real data. All of them: tests/test_shipped_files_learn.py."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from tests.shipped import check_that_a_short_trial_learns

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_cluster")]


# Mixed images, and networks with a state of their own. The demonstration and the short sweep of .ci/run are on Ray too.
@pytest.mark.parametrize("name", ["mixup.yaml", "siamese_prototypical.yaml"])
def test_a_short_trial_learns(name: str, tmp_path: Path) -> None:
    settings = raycon.Settings(out=tmp_path, slots=1, tracking="off", resources={"cpu": 1})
    check_that_a_short_trial_learns(name, settings)
