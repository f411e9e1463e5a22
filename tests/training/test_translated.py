"""Runs with translated views or captured bias go on after an interruption as if there had been none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.errors import InvalidFile
from raycon.runs import Progress, Scored, World
from raycon.state import State
from raycon.training import train
from tests.training.translated import scored_trial, translated_trial


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("raycon.networks.translation.gate.PROBE_STEPS", 2)
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)


def _told(events: list[Progress | Scored]) -> list[Any]:
    return [{k: v for k, v in event.metrics.items() if not k.startswith("train/speed/")} for event in events]


@pytest.mark.parametrize("make", [translated_trial, scored_trial])
def test_saved_and_rebuilt_at_every_yield(make: Callable[[], Trial], tmp_path: Path) -> None:
    """The cache is lost at each interruption: what is made again must be the same."""
    trial = make()
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    whole = State(trial)
    expected = list(train(trial, tables, whole, World()))
    state, events = State(trial), []
    while (event := next(train(trial, tables, state, World()), None)) is not None:
        events.append(event)
        state.save(tmp_path / f"yield-{len(events)}")
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        torch.manual_seed(len(events))
        state = State(trial)
        state.load(tmp_path / f"yield-{len(events)}")
    assert _told(events) == _told(expected)
    for name, value in whole.step.state_dict().items():
        assert torch.equal(value, state.step.state_dict()[name]), name


def test_a_refused_translator_ends_the_run_before_its_first_step() -> None:
    trial = translated_trial(
        networks={"translator": {"family": "conv", "iterations": 1, "batch_size": 4, "width": 4, "content_gate": 1.0}}
    )
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    state = State(trial)
    with pytest.raises(InvalidFile, match="content_gate"):
        next(train(trial, tables, state, World()))
    assert state.index == 0


def test_bfloat16_and_float64_runs_are_finite() -> None:
    for precision in ("bfloat16", "float64"):
        for make in (translated_trial, scored_trial):
            trial = make(training__epochs=1, training__precision=precision)
            tables = load_tables(trial.data, split_seed=trial.seeds.split)
            (*_, last) = train(trial, tables, State(trial), World())
            assert all(value == value for value in last.metrics.values())
