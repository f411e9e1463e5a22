"""Every shipped search space, but those at the papers' scale: a short trial on its real data.

The sweep is run in this process, by the driver, search and engine that Ray's actors run too; some of the files go
through Ray in tests/cluster/test_shipped.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.studies import plan_study
from tests.shipped import BIASED, FILES, FOLDER, LONG_TAIL, SHORT, check_that_a_short_trial_learns, untrained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("name", FILES)
def test_a_short_trial_learns(name: str, tmp_path: Path) -> None:
    check_that_a_short_trial_learns(name, raycon.Settings(out=tmp_path, tracking="off", here=True))


@pytest.mark.parametrize("path", sorted((FOLDER / "ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_full_arm_of_a_shipped_study_learns(path: Path) -> None:
    data = raycon.load(path).corners()[0].trial.data
    short = LONG_TAIL if data.long_tail else BIASED if data.bias else SHORT
    study, _ = plan_study(raycon.load(path, [f"{key}={value}" for key, value in short.items()]))
    trial = study.configurations["full"]
    assert raycon.train(trial)[study.score] > untrained(trial)[study.score]
