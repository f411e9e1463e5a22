"""A sweep in this process: the same runs as on Ray (`test_sweep.py` compares), faults, retries, resumption."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.cluster.here import run_here
from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.errors import InvalidFile
from raycon.history import read_sweep
from raycon.settings import Settings
from raycon.space import loads
from tests.cluster.inline import TRIAL, expected, make_sweep

SPACE = """
name: here
trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, train_size: 200, validation_size: 100}
  encoder: {name: convnet, width: 4, depth: 3, projection: [8]}
  objective: {supcon: {temperature: {choice: [0.1, 0.2]}}}
  training: {epochs: 1, batch_size: 50}
  scores: [coarse_to_fine]
sweep: {maximize: validation/coarse_to_fine/accuracy, trials: 2}
repeat: {seeds: [1, 2], against: {hot: {objective.supcon.temperature: 0.2}, cold: {objective.supcon.temperature: 0.1}}}
"""


def test_a_run_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    states = [run[3] for run in expected(tmp_path, make_sweep(3), TRIAL, {1: {"2": "value"}})]
    assert states == ["complete", "failed", "complete"]


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    class Impatient:
        scored = 0

        def on_event(self, event: dict[str, object]) -> None:
            self.scored += event["kind"] == "scored"
            if self.scored == 4:
                raise KeyboardInterrupt

    sweep = make_sweep(3)
    driver = idle_driver(tmp_path / "cut", sweep, TRIAL, None)
    driver.open()
    with pytest.raises(KeyboardInterrupt):
        run_here(driver, sweep, factory=FACTORY, observer=Impatient(), folder=tmp_path / "cut")
    driver.close()
    assert [run.state for run in driver.history.runs] != ["complete"] * 3
    assert expected(tmp_path / "cut", sweep, TRIAL) == expected(tmp_path / "whole", sweep, TRIAL)


def test_several_workers_need_ray(tmp_path: Path) -> None:
    sweep = make_sweep(2, workers=2)
    driver = idle_driver(tmp_path, sweep, TRIAL, None)
    driver.open()
    with pytest.raises(InvalidFile, match="2 workers need Ray"):
        run_here(driver, sweep, factory=FACTORY, folder=tmp_path)
    driver.close()


def test_a_sweep_and_its_repetition_by_the_public_functions(tmp_path: Path) -> None:
    space = loads(SPACE)
    settings = Settings(out=tmp_path / "out", tracking="off", here=True)
    result = raycon.sweep(space, settings=settings)
    assert [run.state for run in read_sweep(result.folder).runs] == ["complete"] * 2
    (difference,) = raycon.repeat(result.best()).differences()
    assert len(difference.seeds) == 2
    assert raycon.sweep(space, settings=settings).best().run == result.best().run
