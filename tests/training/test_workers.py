"""Two and three workers equal one, and images in chunks equal images at once: everything in the catalogue, with its
encoder and batch normalisation, through the shipped loop."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.losses import TERMS
from raycon.networks import NETWORKS
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.objective import check_trial
from raycon.runs import Scored, World
from raycon.state import State
from raycon.training import train
from raycon.transforms import TRANSFORMS
from tests.training.varied import NAMES, varied_trial

CHUNK = 10
"""Images at once: two workers and one have smaller last chunks."""

CHUNKED = (
    *("thanos.yaml", "thanos_two_backbones.yaml", "constrained_encoder.yaml", "sce.yaml", "lff.yaml", "unicon.yaml"),
    *("siamese_prototypical.yaml", "nnclr.yaml", "mixed", "variants", "translated", "scored"),
    *("group_norm", "vit_small"),
)
"""Trials whose images also come in chunks: all networks that encode images by themselves, views of further kinds,
layers that are bounded, and encoders with and without batch statistics."""

CHUNKED_BY_THREE = ("thanos.yaml", "lff.yaml")
"""Trials that three workers run in chunks as well: batch normalisation, and a second network that encodes images and
keeps what it knows of them."""

SEPARATE = ("digits_demo.yaml", "nnclr.yaml", "sce.yaml")
"""Trials that are also run with batch statistics of each worker by itself."""


def _trial(name: str, how: str) -> Trial:
    trial = varied_trial(name)
    chunk = CHUNK if "chunks" in how else None
    statistics: Literal["all", "worker"] = "worker" if "separate" in how else "all"
    return replace(trial, training=replace(trial.training, chunk=chunk, batch_statistics=statistics))


def _ways(name: str, workers: int) -> list[str]:
    """How a trial is run by so many workers: whole, in chunks, with separate statistics."""
    further = {"chunks": name in CHUNKED, "separate": name in SEPARATE, "separate chunks": name == SEPARATE[0]}
    wanted = {1: ["chunks"], 2: list(further), 3: ["chunks"] if name in CHUNKED_BY_THREE else []}[workers]
    return [f"{workers}", *(f"{workers} {way}" for way in wanted if further[way])]


def _process(number: int, names: list[str], folder: str) -> None:
    """All trials one after another, for starting a process costs more than most of them: by three workers, and then
    by the first two of them while the third runs them alone."""
    torch.set_num_threads(1)
    for name in names:
        for world in (World(number, 3), World() if number == 2 else World(number, 2)):
            for how in _ways(name, world.size):
                _run(how, name, world, folder)


def _run(how: str, name: str, world: World, folder: str) -> None:
    if world.size > 1:
        meet, patience = f"file://{folder}/meet-{name}-{how}", timedelta(seconds=900)
        dist.init_process_group("gloo", init_method=meet, rank=world.rank, world_size=world.size, timeout=patience)
    try:
        state, metrics = _finish(_trial(name, how), world)
        if world.rank == 0:
            torch.save({"model": state.step.state_dict(), "metrics": metrics}, f"{folder}/{name}.{how}.pt")
    except Exception:
        Path(f"{folder}/{name}.{how}.{world.rank}.txt").write_text(traceback.format_exc())
    if world.size > 1:
        dist.destroy_process_group()


def _finish(trial: Trial, world: World) -> tuple[State, dict[str, float]]:
    tables = load_tables(trial.data, split_seed=0)
    state = State(trial)
    events = list(train(trial, tables, state, world))
    assert isinstance(events[-1], Scored)
    return state, events[-1].metrics


@pytest.fixture(scope="module")
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what three processes made of every trial that is asked for."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item.callspec.params["name"] for item in items if "processes" in item.fixturenames]
    names = list(dict.fromkeys(asked))
    folder = tmp_path_factory.mktemp("processes")
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(_process, args=(names, str(folder)), nprocs=3)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return folder


def _told(folder: Path, name: str, how: str) -> Mapping[str, Any]:
    faults = [path.read_text() for path in sorted(folder.glob(f"{name}.{how}.*.txt"))]
    assert not faults, "\n".join(faults)
    told: Mapping[str, Any] = torch.load(folder / f"{name}.{how}.pt", weights_only=True)
    return told


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NAMES)
def test_parameters_after_five_steps_are_those_of_one_worker(name: str, processes: Path) -> None:
    one = _told(processes, name, "1")
    start = State(_trial(name, "1")).step.state_dict()
    same_size = {key: value for key, value in one["model"].items() if value.shape == start[key].shape}
    moved = max(float((value - start[key]).abs().max()) for key, value in same_size.items())
    assert moved > 1e-4
    for how in (how for workers in (1, 2, 3) for how in _ways(name, workers) if "separate" not in how):
        _compare(_told(processes, name, how), one["model"], one["metrics"], how)


def _compare(found: Mapping[str, Any], model: Mapping[str, Tensor], metrics: Mapping[str, float], how: str) -> None:
    for key, value in model.items():
        assert torch.allclose(value, found["model"][key], rtol=0, atol=1e-10), (how, key)
    for key, number in metrics.items():
        if not key.startswith("train/speed/"):
            assert found["metrics"][key] == pytest.approx(number, abs=1e-6), (how, key)


def _by_halves(layer: GlobalBatchNorm, images: Tensor) -> Tensor:
    """What two workers with separate statistics do, in one process: each half of the images is normalised by itself,
    and the running statistics follow the mean of both."""
    assert layer.running_mean is not None and layer.running_var is not None
    if not layer.training:
        return functional.batch_norm(images, layer.running_mean, layer.running_var, layer.weight, layer.bias)
    kept: list[tuple[Tensor, Tensor]] = []
    found = []
    for half in images.chunk(2):
        kept.append((layer.running_mean.clone(), layer.running_var.clone()))
        found.append(functional.batch_norm(half, *kept[-1], layer.weight, layer.bias, training=True))
    for buffer, values in zip((layer.running_mean, layer.running_var), zip(*kept, strict=True), strict=True):
        buffer.copy_(torch.stack(values).mean(0))
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += 1
    return torch.cat(found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SEPARATE)
def test_separate_statistics_are_those_of_halves(name: str, processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _told(processes, name, "1")
    monkeypatch.setattr(GlobalBatchNorm, "forward", _by_halves)
    state, metrics = _finish(_trial(name, "1"), World())
    model = state.step.state_dict()
    for how in _ways(name, 2):
        if "separate" in how:
            _compare(_told(processes, name, how), model, metrics, how)
    assert any(not torch.allclose(value, model[key], rtol=0, atol=1e-6) for key, value in whole["model"].items())


def test_the_trials_run_everything_in_the_catalogue() -> None:
    plans = [check_trial(varied_trial(name)) for name in NAMES]
    assert {term.function for plan in plans for term in plan.terms} == set(TERMS)
    providers = {(part.kind, part.function) for plan in plans for part in plan.providers}
    assert {function for kind, function in providers if kind == "transform"} == set(TRANSFORMS)
    assert {function for kind, function in providers if kind == "network"} == set(NETWORKS)
