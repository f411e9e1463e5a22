"""The network of translated views: different translations of the right image, augmented, drawn by the image's draws."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raycon.config import Augmentation, Trial
from raycon.datasets import ImageTable, load_tables, normalise
from raycon.errors import InvalidFile
from raycon.networks.auxiliary import Preparation, Shapes
from raycon.networks.translator import Translator
from raycon.objective import check_trial, explain
from raycon.vocabulary import DRAWS
from tests.training.translated import translated_trial

QUICK: dict[str, Any] = {"iterations": 2, "batch_size": 4, "width": 4, "content_gate": 0.0, "targets": 3}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path))
    monkeypatch.setattr("raycon.networks.translation.gate.PROBE_STEPS", 2)


def _fresh() -> tuple[nn.Module, nn.Module]:
    return nn.Identity(), nn.Identity()


def _network(**knobs: Any) -> Translator:
    sizes = {"channels": 3, "size": 8, "embedding": 4, "projection": 4, "classes": 10, "groups": 1}
    shapes = Shapes(**sizes, encoder=nn.Identity(), head=nn.Identity(), fresh=_fresh)
    return Translator(shapes, **{**QUICK, **knobs})


def _prepared(views: int = 2, *, augmentation: Augmentation | None = None, **knobs: Any) -> tuple[Translator, Trial]:
    trial = translated_trial(training__views=views)
    trial = replace(trial, augmentation=augmentation or Augmentation())
    network = _network(**knobs)
    network.prepare(_preparation(trial))
    return network, trial


def _table(trial: Trial) -> ImageTable:
    return load_tables(trial.data, split_seed=trial.seeds.split)["train"]


def _preparation(trial: Trial) -> Preparation:
    def unused(*arguments: object) -> Tensor:
        raise AssertionError("a translator asks for no embeddings and no views")

    return Preparation(trial, _table(trial), 0, 1, embed=unused, make_views=unused, resumed=False)


def _draws(images: int, seed: int = 0) -> Tensor:
    return torch.rand(images, DRAWS, generator=torch.Generator().manual_seed(seed))


def _found(network: Translator, indices: Tensor, draws: Tensor) -> Tensor:
    made: Tensor = network(indices, draws)["translated_views"]
    return made


def test_views_are_different_translations_of_the_image_itself() -> None:
    network, trial = _prepared()
    table, indices = _table(trial), torch.tensor([5, 0, 77])
    views = _found(network, indices, _draws(3))
    assert views.shape == (3, 2, 3, 8, 8)
    for row, index in enumerate(indices.tolist()):
        candidates = normalise(network.translated[index], table.mean, table.std)
        chosen = [[torch.equal(view, other) for other in candidates].index(True) for view in views[row]]
        assert len(set(chosen)) == 2


def test_every_pair_of_targets_is_drawn() -> None:
    network, _ = _prepared()
    network.translated = torch.arange(3, dtype=torch.uint8).view(1, 3, 1, 1, 1).expand(1, 3, 3, 8, 8).contiguous()
    views = _found(network, torch.zeros(600, dtype=torch.int64), _draws(600))
    values = (views[..., 0, 0, 0] * 0.5 * 255 + 127.5).round().long()
    counts = Counter((a, b) for a, b in values.tolist())
    assert len(counts) == 6 and all(a != b for a, b in counts)
    assert min(counts.values()) > 60


def test_the_last_view_may_be_the_image_itself() -> None:
    network, trial = _prepared(views=3, keep_original=True)
    table, indices = _table(trial), torch.tensor([3, 4])
    views = _found(network, indices, _draws(2))
    assert views.shape[1] == 3
    assert torch.equal(views[:, 2], normalise(table.images[indices], table.mean, table.std))
    assert not torch.equal(views[:, 1], views[:, 2])


def test_an_image_depends_on_its_own_draws_alone() -> None:
    network, _ = _prepared(augmentation=Augmentation(scale=(0.5, 1.0), brightness=0.2, flip=0.5))
    indices, draws = torch.tensor([1, 2, 3, 4]), _draws(4)
    whole = _found(network, indices, draws)
    assert torch.equal(_found(network, indices[2:3], draws[2:3])[0], whole[2])
    assert not torch.equal(_found(network, indices, _draws(4, seed=1)), whole)
    assert _found(network, indices, draws.double()).dtype == torch.float64


def test_a_new_network_reads_the_same_views_and_keeps_nothing_in_checkpoints() -> None:
    first, trial = _prepared()
    second = _network()
    second.prepare(_preparation(trial))
    assert torch.equal(first.translated, second.translated)
    assert not first.state_dict() and not list(first.parameters())


def test_the_gate_refuses_and_a_lower_threshold_reads_the_same_translator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial = translated_trial()
    with pytest.raises(InvalidFile, match=r"networks.translator.content_gate: .*edge correlation"):
        _network(family="conv", content_gate=1.0).prepare(_preparation(trial))

    def never(*arguments: object) -> None:
        raise AssertionError("the translator was trained again")

    monkeypatch.setattr("raycon.networks.translation.cache.make_translations", never)
    _network(family="conv", content_gate=0.0).prepare(_preparation(trial))


@pytest.mark.parametrize(
    ("views", "knobs", "reason"),
    [
        (4, {}, "at most 3 an image"),
        (3, {"targets": 2}, "3 different views cannot be drawn from 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(views: int, knobs: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidFile, match=reason):
        _prepared(views=views, **knobs)


def test_the_plan_shows_where_views_come_from() -> None:
    lines = explain(translated_trial())
    assert any("network  translator(indices, draws) -> translated_views" in line for line in lines)
    assert "translator" in check_trial(translated_trial()).drawing
