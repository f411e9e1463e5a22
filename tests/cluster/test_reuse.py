"""Finished arms through Ray: a second study runs what the first has not, and says the same as if it had run it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raycon
from raycon.space import loads
from raycon.studies import StudyResult
from tests.cluster.test_study import FILE
from tests.tiny import FINE

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("ray_cluster")]


def test_a_second_study_runs_only_what_is_new(tmp_path: Path) -> None:
    space = loads("\n".join(line for line in FILE.splitlines() if "retune" not in line))

    def run(out: Path, **given: Any) -> StudyResult:
        settings = raycon.Settings(out=out, slots=2, tracking="off", resources={"cpu": 0.5})
        return raycon.ablate(space, settings=settings, **given)

    first = run(tmp_path / "one")
    second = run(tmp_path / "one", seeds=(2, 3, 4))
    taken = [run for run in second.history.runs if run.reused is not None]
    assert {run.values["seed"] for run in taken} == {2, 3} and len(taken) == 4
    assert {run.reused["sweep"] for run in taken if run.reused} == {first.folder.name}
    assert all(bool(run.tries) is (run.reused is None) for run in second.history.runs)
    again = run(tmp_path / "two", seeds=(2, 3, 4))
    scores = [[one.metrics[FINE] for one in result.history.runs] for result in (second, again)]
    assert scores[0] == scores[1]
    page = raycon.report(second.folder.name, settings=raycon.Settings(out=tmp_path / "one", tracking="off"), test=True)
    assert "test images" in page.read_text() and "taken over and not run again" in page.read_text()
