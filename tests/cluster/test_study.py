"""An ablation study through Ray: interrupted and continued, with hyperparameters of its arms searched, and tested."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.space import loads

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("ray_cluster")]

FILE = """
name: tiny-study
trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, train_size: 200, validation_size: 200}
  augmentation: {shift: 0.1}
  encoder: {name: convnet, width: 4, depth: 3, projection: [16, 8]}
  objective:
    supcon: {weight: 0.7, temperature: 0.1}
    class_conditional_infonce: {weight: 0.3, temperature: 0.1}
  training: {epochs: 1, batch_size: 50, learning_rate: 0.01}
  scores: [coarse_to_fine]
ablation:
  plan: leave_one_out
  score: validation/coarse_to_fine/accuracy
  seeds: [1, 2, 3]
  components:
    spread: {drop: [objective.class_conditional_infonce], off: {objective.supcon.weight: 1.0}}
  retune: {space: {training.learning_rate: {log_uniform: [0.001, 0.1]}}, trials: 3}
"""


def test_a_study_with_arms_that_were_searched_for(tmp_path: Path) -> None:
    settings = raycon.Settings(out=tmp_path, slots=2, tracking="off", resources={"cpu": 0.5})
    result = raycon.ablate(loads(FILE), settings=settings)
    names = {run.values["configuration"] for run in result.history.runs}
    assert names == {"full", "without spread", "full, re-tuned", "without spread, re-tuned"}
    assert result.answers().retuned and result.answers().seeds == (1, 2, 3)
    before = result.report().read_text()
    assert "re-tuned with equal budget" in before and "arms frozen" in before
    # The same call again runs nothing and says the same.
    again = raycon.ablate(loads(FILE), settings=settings)
    assert again.folder == result.folder and again.report().read_text() == before
    page = raycon.report(result.folder.name, settings=settings, test=True)
    assert "test images" in page.read_text() and "test set opened 1 time(s)" in page.read_text()
