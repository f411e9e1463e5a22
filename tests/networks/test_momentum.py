"""The momentum network follows the trained one, without its statistics, and outlives interruptions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.networks.momentum import Momentum
from raycon.runs import World
from raycon.state import State
from raycon.step import Step
from raycon.training import train
from tests.training.trials import small_trial

SCE: dict[str, Any] = {
    "objective": {"sce": {"inputs": {"features": "predictions"}, "symmetric": False}},
    "networks": {"momentum": {"decay": 0.9, "schedule": "cosine", "views": 1}, "queue": {"size": 70}},
}
NNCLR: dict[str, Any] = {
    "objective": {"nearest_neighbour_infonce": {"decoupled": True}},
    "networks": {"support_queue": {"size": 50, "views": 0}},
}
RENYI: dict[str, Any] = {
    "objective": {"renyi": {"inputs": {"features": "predictions"}}},
    "networks": {"momentum": {"decay": 0.9, "views": 2}, "predictor": {"hidden": 16}},
    "augmentation__local_views": 1,
    "training__views": 3,
}


def _state(**changes: Any) -> State:
    return State(small_trial(**(SCE | changes)))


def _momentum(state: State) -> Momentum:
    found = state.step.auxiliaries["momentum"]
    assert isinstance(found, Momentum)
    return found


def _pairs(momentum: Momentum, step: Step) -> list[tuple[Tensor, Tensor]]:
    trained = [*step.encoder.parameters(), *step.head.parameters()]
    return list(zip([*momentum.encoder.parameters(), *momentum.head.parameters()], trained, strict=True))


def _moved(state: State) -> None:
    with torch.no_grad():
        for parameter in [*state.step.encoder.parameters(), *state.step.head.parameters()]:
            parameter.add_(torch.randn_like(parameter))


def test_it_starts_as_a_copy_that_the_optimiser_leaves_alone() -> None:
    state = _state()
    pairs = _pairs(_momentum(state), state.step)
    assert all(torch.equal(mine, trained) and mine is not trained for mine, trained in pairs)
    assert not any(mine.requires_grad for mine, _ in pairs)
    optimised = {id(p) for group in state.optimiser.param_groups for p in group["params"]}
    assert not any(id(mine) in optimised for mine, _ in pairs)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_parameters_are_averaged_after_the_step_by_the_schedule(schedule: str) -> None:
    state = _state(networks__momentum__schedule=schedule)
    momentum = _momentum(state)
    momentum.total = 4
    for step in range(6):
        _moved(state)
        before = [mine.clone() for mine, _ in _pairs(momentum, state.step)]
        state.step.last = {"momentum_features": torch.zeros(2, 1, 8)}
        state.step.after_step()
        share = min(step / 4, 1) if schedule == "cosine" else 0
        rate = 1 - (1 - 0.9) * (1 + math.cos(math.pi * share)) / 2
        for old, (mine, trained) in zip(before, _pairs(momentum, state.step), strict=True):
            torch.testing.assert_close(mine, rate * old + (1 - rate) * trained, rtol=1e-5, atol=1e-6)
    assert momentum.steps == 6


def test_only_parameters_are_averaged() -> None:
    state = _state()
    momentum = _momentum(state)
    momentum(torch.randn(8, 2, 1, 8, 8))
    own = copy.deepcopy(dict(momentum.encoder.named_buffers()))
    for value in state.step.encoder.buffers():
        value += 5
    state.step.last = {"momentum_features": torch.zeros(2, 1, 8)}
    state.step.after_step()
    assert own
    assert all(torch.equal(value, own[name]) for name, value in momentum.encoder.named_buffers())


@pytest.mark.parametrize(("views", "expected"), [(0, 3), (1, 1), (2, 2)])
def test_it_encodes_the_first_views_as_the_trained_network_would(views: int, expected: int) -> None:
    state = _state(networks__momentum__views=views)
    images = torch.randn(6, 3, 1, 8, 8)
    made = _momentum(state)(images)["momentum_features"]
    assert made.shape == (6, expected, 8)
    assert not made.requires_grad
    torch.testing.assert_close(made.norm(dim=2), torch.ones(6, expected))
    _, features = state.step.embed(images[:, :expected].flatten(0, 1))
    torch.testing.assert_close(made.flatten(0, 1), features, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [SCE, RENYI, NNCLR], ids=["sce", "renyi", "nnclr"])
def test_a_run_that_is_saved_and_reopened_at_every_yield_is_the_uninterrupted_one(
    changes: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)
    trial = small_trial(**changes, scores={"nearest_neighbours": {}})
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    whole = State(trial)
    expected = [event.metrics for event in train(trial, tables, whole, World())]
    state, seen = State(trial), []
    while (event := next(train(trial, tables, state, World()), None)) is not None:
        seen.append(event.metrics)
        state.save(tmp_path / str(len(seen)))
        torch.manual_seed(len(seen))
        state = _reopened(trial, tmp_path / str(len(seen)))
    assert len(seen) == 6
    assert [_without_speed(metrics) for metrics in seen] == [_without_speed(metrics) for metrics in expected]
    stored = state.step.state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in whole.step.state_dict().items())


def _reopened(trial: Trial, folder: Path) -> State:
    state = State(trial)
    state.load(folder)
    return state


def _without_speed(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("train/speed/")}


def test_every_trained_parameter_gets_a_gradient() -> None:
    for changes in (SCE, RENYI, NNCLR):
        trial = small_trial(**changes)
        state = State(trial)
        batch = {"views": torch.randn(8, trial.training.views, 1, 8, 8), "labels": torch.arange(8) % 2}
        total, _ = state.step(batch)
        total.backward()
        assert all(p.grad is not None for p in state.step.parameters() if p.requires_grad)
        assert all(p.grad is None for p in state.step.parameters() if not p.requires_grad)
