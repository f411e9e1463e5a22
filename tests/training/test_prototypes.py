"""Prototypes, a second backbone and a constrained encoder in the loop: two workers, and a stop at every yield."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.runs import Progress, Scored, World
from raycon.state import State
from raycon.training import train
from tests.training.trials import small_trial

SIAMESE: dict[str, Any] = {
    "infonce": {"temperature": 0.5},
    "partner": {"term": "prototype_infonce", "inputs": {"features": "partner_features"}},
    "siamese_metric_loss": {"weight": 0.1},
    "prototype_classification": {"weight": 0.1},
}
NETWORKS: dict[str, Any] = {"image_prototypes": {"prototypes": 8}, "prototype_classifier": {"prototypes": 8}}
TWIN: dict[str, Any] = {
    "spread": {},
    "twin_supcon": {"term": "supcon", "inputs": {"features": "twin_features"}},
    "twin_reconstruction": {"term": "reconstruction", "inputs": {"reconstruction": "twin_reconstruction"}},
}
CASES: dict[str, dict[str, Any]] = {
    "siamese": {"objective": SIAMESE, "networks": NETWORKS},
    "twin": {"objective": TWIN},
    "lipschitz": {"objective": {"supcon": {}}, "encoder__lipschitz": 0.5, "encoder__embedding": 6},
}


@pytest.fixture(autouse=True)
def _progress_every_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)


def _events(trial: Trial, state: State) -> list[Progress | Scored]:
    return list(train(trial, load_tables(trial.data, split_seed=0), state, World()))


@pytest.mark.parametrize("name", CASES)
def test_saving_and_rebuilding_at_every_yield_changes_nothing(name: str, tmp_path: Path) -> None:
    trial = small_trial(**CASES[name])
    whole = State(trial)
    expected = _events(trial, whole)
    tables = load_tables(trial.data, split_seed=0)
    state, count = State(trial), 0
    while (event := next(train(trial, tables, state, World()), None)) is not None:
        if isinstance(event, Scored):
            metrics = {k: v for k, v in event.metrics.items() if not k.startswith("train/speed/")}
            assert metrics.items() <= expected[count].metrics.items()
        count += 1
        state.save(tmp_path / f"yield-{count}")
        torch.manual_seed(count)
        state = State(trial)
        state.load(tmp_path / f"yield-{count}")
    assert count == len(expected) == 6
    for key, value in whole.step.state_dict().items():
        assert torch.equal(value, state.step.state_dict()[key]), key


def test_prototypes_are_found_anew_before_every_epoch() -> None:
    trial = small_trial(**CASES["siamese"])
    state = State(trial)
    found = []
    for event in train(trial, load_tables(trial.data, split_seed=0), state, World()):
        network = state.step.auxiliaries["image_prototypes"]
        found.append((event.epoch, network.clusters.clone()))  # type: ignore[operator]  # torch leaves it untyped
    first, second = (torch.stack([clusters for epoch, clusters in found if epoch == number]) for number in (1, 2))
    assert (first == first[0]).all() and (second == second[0]).all()
    assert not torch.equal(first[0], second[0])
    assert 4 <= len(set(first[0].tolist())) <= 8


def _worker(rank: int, size: int, name: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    trial = _exact(name)
    state = State(trial)
    list(train(trial, load_tables(trial.data, split_seed=0), state, World(rank, size)))
    torch.save(state.step.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _exact(name: str) -> Trial:
    return small_trial(**CASES[name], training__precision="float64", training__learning_rate=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CASES)
def test_all_ranks_hold_what_one_worker_holds_after_two_epochs(name: str, tmp_path: Path) -> None:
    """Clusters, power iterations and second backbones included, on every rank."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(_worker, args=(2, name, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    trial = _exact(name)
    state = State(trial)
    _events(trial, state)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for key, value in state.step.state_dict().items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(value, first[key], rtol=0, atol=1e-10), key
