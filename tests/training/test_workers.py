"""Two workers equal one: the shipped space, its encoder with batch normalisation, and the shipped loop."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from datetime import timedelta
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
from tests.training.translated import scored_trial, translated_trial
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


def _classes() -> Trial:
    """Terms on prototypes, and those of metric learning, over the whole batch."""
    names = ("esupcon", "tightness", "triplet", "margin", "n_pair")
    return small_trial(
        objective={name: {} for name in names},
        training__epochs=1,
        training__precision="float64",
        training__learning_rate=1e-3,
    )


def _negatives() -> Trial:
    """Terms on negatives, two of them with draws of their own."""
    names = ("debiased", "debiased_supervised", "decoupled", "decoupled_weighted")
    drawn = {"term": "sampled_infonce", "negatives": 20}
    views = {**drawn, "positives": "augmentation", "sampling": "other_classes", "denominator": "decoupled"}
    return small_trial(
        objective={**{name: {} for name in names}, "drawn": drawn, "drawn_views": views},
        training__epochs=1,
        training__precision="float64",
        training__learning_rate=1e-3,
    )


def _translated() -> Trial:
    """Views of a translator that whichever worker comes first trains, while the other waits."""
    return translated_trial(training__epochs=1, training__precision="float64", training__learning_rate=1e-3)


def _scored() -> Trial:
    """A network that captures the bias, trained by a loss of its own."""
    return scored_trial(training__epochs=1, training__precision="float64", training__learning_rate=1e-3)


def _mixed() -> Trial:
    """Contrastive terms on images that were mixed with partners from the whole batch: pasted boxes, sought pairs."""
    return small_trial(
        objective={
            "unicon_append": {},
            "mixed": {"term": "supcon", "inputs": {"features": "mixed_features", "labels": "mixed_labels"}},
        },
        transforms={"universum": {"mix": "cutmix"}, "selecmix": {}},
        training__epochs=1,
        training__precision="float64",
        training__learning_rate=1e-3,
    )


SPECIAL: dict[str, Callable[[], Trial]] = {
    "mixed": _mixed,
    "cross_entropy": _classifier_alone,
    "rebound": _rebound,
    "classes": _classes,
    "negatives": _negatives,
    "translated": _translated,
    "scored": _scored,
}


def _worker(rank: int, size: int, names: list[str], folder: str) -> None:
    """Runs all trials one after another: starting a process costs more than most of them."""
    torch.set_num_threads(1)
    for name in names:
        meet, patience = f"file://{folder}/meet-{name}", timedelta(seconds=100)
        dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=size, timeout=patience)
        try:
            state, metrics = _finish(_trial(name), World(rank, size))
            if rank == 0:
                torch.save({"model": state.step.state_dict(), "metrics": metrics}, f"{folder}/{name}.pt")
        except Exception:
            Path(f"{folder}/{name}.{rank}.txt").write_text(traceback.format_exc())
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what two workers made of every trial that is asked for."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    names = [item.callspec.params["name"] for item in items if "two_workers" in item.fixturenames]
    folder = tmp_path_factory.mktemp("two-workers")
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(_worker, args=(2, names, str(folder)), nprocs=2)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return folder


def _finish(trial: Trial, world: World) -> tuple[State, dict[str, float]]:
    tables = load_tables(trial.data, split_seed=0)
    state = State(trial)
    events = list(train(trial, tables, state, world))
    assert isinstance(events[-1], Scored)
    return state, events[-1].metrics


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [*FILES, *SPECIAL])
def test_parameters_after_five_steps_are_those_of_one_worker(name: str, two_workers: Path) -> None:
    told = [path.read_text() for path in sorted(two_workers.glob(f"{name}.*.txt"))]
    assert not told, "\n".join(told)
    two = torch.load(two_workers / f"{name}.pt", weights_only=True)
    one, metrics = _finish(_trial(name), World())
    start = State(_trial(name)).step.state_dict()
    same_size = {key: value for key, value in one.step.state_dict().items() if value.shape == start[key].shape}
    moved = max(float((value - start[key]).abs().max()) for key, value in same_size.items())
    assert moved > 1e-4
    for key, value in one.step.state_dict().items():
        assert torch.allclose(value, two["model"][key], rtol=0, atol=1e-10), key
    for key, number in metrics.items():
        if not key.startswith("train/speed/"):
            assert two["metrics"][key] == pytest.approx(number, abs=1e-6), key
