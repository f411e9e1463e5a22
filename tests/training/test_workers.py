"""Two workers equal one: the shipped space, its encoder with batch normalisation, and the shipped loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.runs import Scored, World
from raycon.state import State
from raycon.training import train
from tests.shipped import FILES, fullest_trial
from tests.training.trials import small_trial


def _trial(name: str) -> Trial:
    """The first configuration of a shipped file that uses all terms, in float64, cut to one epoch of five steps."""
    if name in SPECIAL:
        return SPECIAL[name]()
    return fullest_trial(name, images=5 * 32, epochs=1, batch_size=32, precision="float64", learning_rate=1e-3)


def _classifier_alone() -> Trial:
    """A trial whose terms do not look at features: nothing may be left without a gradient."""
    return small_trial(
        objective={"cross_entropy": {}}, training__epochs=1, training__precision="float64", training__optimiser="sgd"
    )


def _rebound() -> Trial:
    """A pairwise term that is given a tensor of another kind: what it asks for decides."""
    return small_trial(
        objective={"supcon": {"inputs": {"features": "embeddings"}, "temperature": 5.0}},
        training__epochs=1,
        training__precision="float64",
        training__learning_rate=1e-3,
    )


SPECIAL: dict[str, Callable[[], Trial]] = {"cross_entropy": _classifier_alone, "rebound": _rebound}


def _worker(rank: int, size: int, name: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    state, metrics = _finish(_trial(name), World(rank, size))
    if rank == 0:
        torch.save({"model": state.step.state_dict(), "metrics": metrics}, f"{folder}/two.pt")
    dist.destroy_process_group()


def _finish(trial: Trial, world: World) -> tuple[State, dict[str, float]]:
    tables = load_tables(trial.data, split_seed=0)
    state = State(trial)
    events = list(train(trial, tables, state, world))
    assert isinstance(events[-1], Scored)
    return state, events[-1].metrics


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [*FILES, *SPECIAL])
def test_parameters_after_five_steps_are_those_of_one_worker(name: str, tmp_path: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(_worker, args=(2, name, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    one, metrics = _finish(_trial(name), World())
    start = State(_trial(name)).step.state_dict()
    moved = max(float((value - start[key]).abs().max()) for key, value in one.step.state_dict().items())
    assert moved > 1e-4
    for key, value in one.step.state_dict().items():
        assert torch.allclose(value, two["model"][key], rtol=0, atol=1e-10), key
    for key, number in metrics.items():
        if not key.startswith("train/speed/"):
            assert two["metrics"][key] == pytest.approx(number, abs=1e-6), key
