"""A term of one's own that is not the same function on every worker is refused at the first step."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.errors import InvalidFile
from raycon.own_code import OwnCode, activate
from raycon.runs import World
from raycon.state import State
from raycon.training import train
from tests.training.trials import small_trial

OWN = OwnCode(
    (
        """
import torch

def noisy(features, labels):
    return (features.flatten(0, 1) @ torch.rand(features.shape[2], dtype=features.dtype)).square().mean()

def drawn(features, draws):
    return (features.mean(dim=(1, 2)) * draws[:, 0]).square().mean()

def noisy_rows(embeddings):
    return (embeddings * torch.rand_like(embeddings)).square().mean()

TERMS = [noisy, drawn, noisy_rows]
""",
    )
)

TERMS: dict[str, dict[str, dict[str, Any]]] = {
    "pairwise": {"supcon": {}, "noisy": {}},
    "weightless": {"supcon": {}, "renamed": {"term": "noisy", "weight": 0.0}},
    "draws": {"supcon": {}, "drawn": {}},
    "per image": {"supcon": {}, "noisy_rows": {}},
}


def _trial(name: str) -> Trial:
    size = {"data__train_size": 64, "data__validation_size": 20}
    return small_trial(objective=TERMS[name], training__epochs=1, scores={"nearest_neighbours": {}}, **size)


def _process(number: int, folder: str) -> None:
    activate(OWN)
    meet, patience = f"file://{folder}/meet", timedelta(seconds=250)
    dist.init_process_group("gloo", init_method=meet, rank=number, world_size=2, timeout=patience)
    for name in TERMS:
        try:
            _train(name, World(number, 2))
            told = ""
        except InvalidFile as error:
            told = str(error)
        except Exception:
            told = traceback.format_exc()
        Path(folder, f"{name}.{number}").write_text(told)
    dist.destroy_process_group()


def _train(name: str, world: World) -> None:
    trial = _trial(name)
    for _ in train(trial, load_tables(trial.data, split_seed=0), State(trial), world):
        pass


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_numbers_of_ones_own_are_refused_where_workers_compare_images(tmp_path: Path) -> None:
    spawn(_process, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    told = {name: [(tmp_path / f"{name}.{rank}").read_text() for rank in (0, 1)] for name in TERMS}
    assert told["draws"] == told["per image"] == ["", ""]
    for name, key in (("pairwise", "noisy"), ("weightless", "renamed")):
        assert told[name][0] == told[name][1]
        assert told[name][0].startswith(f"objective.{key}: noisy was given the same images on every worker and made ")
        assert "from its parameter `draws`" in told[name][0]


def test_one_worker_may_draw_as_it_likes() -> None:
    activate(OWN)
    try:
        _train("pairwise", World())
    finally:
        activate(OwnCode())
