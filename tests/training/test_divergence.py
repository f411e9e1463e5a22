"""NaN and infinity stop a run with the step named, and nothing that is not finite is ever reported."""

from __future__ import annotations

import pytest

from raycon.datasets import load_tables
from raycon.errors import Diverged
from raycon.runs import World
from raycon.state import State
from raycon.training import train
from tests.training.trials import small_trial


def test_a_loss_that_explodes_stops_the_run_and_names_the_step() -> None:
    trial = small_trial(training__learning_rate=1e25, training__optimiser="sgd", training__warmup=0.0)
    tables = load_tables(trial.data, split_seed=0)
    with pytest.raises(Diverged) as caught:
        list(train(trial, tables, State(trial), World()))
    assert caught.value.epoch == 1
    assert 1 < caught.value.step <= 5
    assert f"epoch 1, step {caught.value.step}" in str(caught.value)
