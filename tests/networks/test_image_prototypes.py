"""Prototypes belong to rows of the table; partners are drawn as the pairs of Siamese prototypical learning are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from raycon.config import Trial
from raycon.datasets import describe, load_tables
from raycon.errors import Diverged, InvalidFile
from raycon.networks.auxiliary import Preparation, Shapes
from raycon.networks.image_prototypes import ImagePrototypes
from raycon.networks.prototype_classifier import PrototypeClassifier
from raycon.objective import resolve
from raycon.vocabulary import DRAWS
from tests.training.trials import small_trial

ONLINE = torch.nn.Identity()
SHAPES = Shapes(1, 8, 4, 4, 2, 1, ONLINE, ONLINE, lambda: (torch.nn.Identity(), torch.nn.Identity()))


def _views(rows: Tensor) -> Tensor:
    return rows[:, None, None, None, None].expand(-1, 2, 1, 8, 8).float()


def _following(clusters: list[int], prototypes: int, **knobs: Any) -> ImagePrototypes:
    network = ImagePrototypes(SHAPES, prototypes=prototypes, **knobs)
    network.follow(torch.tensor(clusters), _views)
    return network


def _forward(network: ImagePrototypes, row: int, times: int = 4000) -> dict[str, Tensor]:
    draws = torch.rand(times, DRAWS, generator=torch.Generator().manual_seed(row))
    return network.forward(torch.full((times,), row), draws)


def _shares(partners: Tensor, images: int) -> list[float]:
    return (torch.bincount(partners, minlength=images) / len(partners)).tolist()


CLUSTERS = [0, 3, 0, 3, 3, 1, 0, 3]  # prototype 2 is empty, 1 has one image


def test_half_of_the_pairs_share_their_prototype_and_partners_are_uniform() -> None:
    network = _following(CLUSTERS, 4)
    found = _forward(network, 1)
    partners = found["partner_views"][:, 0, 0, 0, 0].long()
    assert found["same_prototype"].float().mean() == pytest.approx(0.5, abs=0.03)
    # Half go to the other three of prototype 3; a quarter each to prototypes 0 (three images) and 1 (one).
    expected = [1 / 12, 0, 1 / 12, 1 / 6, 1 / 6, 1 / 4, 1 / 12, 1 / 6]
    assert _shares(partners, 8) == pytest.approx(expected, abs=0.03)
    assert torch.equal(found["assignments"], torch.full((4000,), 3))
    assert torch.equal(found["partner_assignments"], torch.tensor(CLUSTERS)[partners])
    assert torch.equal(found["same_prototype"], (found["partner_assignments"] == 3).long())


def test_an_image_alone_in_its_prototype_takes_one_of_another() -> None:
    found = _forward(_following(CLUSTERS, 4, same_share=1.0), 5)
    assert found["same_prototype"].sum() == 0
    assert set(found["partner_views"][:, 0, 0, 0, 0].long().tolist()) == {0, 1, 2, 3, 4, 6, 7}


def test_one_prototype_for_all_leaves_only_same_pairs() -> None:
    found = _forward(_following([2, 2, 2], 4, same_share=0.0), 1)
    assert found["same_prototype"].min() == 1
    assert _shares(found["partner_views"][:, 0, 0, 0, 0].long(), 3) == pytest.approx([0.5, 0, 0.5], abs=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_draw_stays_in_range(dtype: torch.dtype) -> None:
    network = _following([*range(31)] * 1000, 32)
    draws = torch.full((31000, DRAWS), 1 - 2**-24, dtype=dtype)
    for first in (0.0, 1 - 2**-24):
        draws[:, 0] = first
        partners = network.partners(torch.arange(31000), draws)
        same = network.clusters[partners] == network.clusters
        assert bool(same.all()) is (first == 0.0) and bool((~same).all()) is (first != 0.0)
        assert not (partners == torch.arange(31000)).any()


def test_without_a_clustering_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no epoch has begun"):
        ImagePrototypes(SHAPES)(torch.zeros(2, dtype=torch.int64), torch.zeros(2, DRAWS))


def _trial(**networks: Any) -> Trial:
    return small_trial(
        objective={
            "infonce": {"temperature": 0.5},
            "prototype_classification": {},
        },
        networks=networks,
    )


def _preparation(trial: Trial, embeddings: Tensor, *, resumed: bool = False, seed: int = 1) -> Preparation:
    table = load_tables(trial.data, split_seed=0)["train"]
    return Preparation(trial, table, 0, seed, lambda: embeddings, _views, resumed)


def test_prototypes_belong_to_rows_and_change_with_the_epoch() -> None:
    trial = _trial(image_prototypes={"prototypes": 4})
    truth = torch.arange(160) % 4
    embeddings = 5 * torch.eye(4)[truth] + 0.1 * torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
    network = ImagePrototypes(SHAPES, prototypes=4)
    network.prepare(_preparation(trial, embeddings))
    first = network.clusters.clone()
    assert torch.equal(first[:, None] == first, truth[:, None] == truth)
    network.prepare(_preparation(trial, embeddings.flip(0), seed=2))
    assert not torch.equal(network.clusters, first)


def test_a_resumed_epoch_keeps_its_prototypes() -> None:
    trial = _trial(image_prototypes={"prototypes": 4})
    generator = torch.Generator().manual_seed(0)
    network = ImagePrototypes(SHAPES, prototypes=4)
    network.prepare(_preparation(trial, torch.randn(160, 4, generator=generator)))
    again = ImagePrototypes(SHAPES, prototypes=4)
    again.load_state_dict(network.state_dict())
    again.prepare(_preparation(trial, torch.full((160, 4), torch.nan), resumed=True))
    rows, draws = torch.arange(160), torch.rand(160, DRAWS, generator=generator)
    assert torch.equal(again.partners(rows, draws), network.partners(rows, draws))


def test_too_many_prototypes_are_refused() -> None:
    trial = _trial(image_prototypes={"prototypes": 161})
    with pytest.raises(InvalidFile, match="161 is more than the 160 training images"):
        ImagePrototypes(SHAPES, prototypes=161).prepare(_preparation(trial, torch.zeros(160, 4)))


def test_embeddings_that_are_not_finite_end_the_run() -> None:
    with pytest.raises(Diverged, match="embedding"):
        ImagePrototypes(SHAPES, prototypes=4).prepare(_preparation(_trial(), torch.full((160, 4), torch.nan)))


def test_a_classifier_with_fewer_outputs_is_refused() -> None:
    trial = _trial(prototype_classifier={"prototypes": 4}, image_prototypes={"prototypes": 8})
    with pytest.raises(InvalidFile, match="4 is less than the 8"):
        PrototypeClassifier(SHAPES, prototypes=4).prepare(_preparation(trial, torch.zeros(160, 4)))


@pytest.mark.parametrize("reinitialise", [True, False])
def test_the_classifier_is_drawn_anew_before_every_epoch(reinitialise: bool) -> None:
    trial = _trial()
    network = PrototypeClassifier(SHAPES, reinitialise=reinitialise)
    drawn = []
    for seed, resumed in ((1, False), (2, False), (3, True)):
        network.prepare(_preparation(trial, torch.zeros(160, 4), seed=seed, resumed=resumed))
        drawn.append(network.layer.weight.detach().clone())
    assert torch.equal(drawn[0], drawn[1]) is not reinitialise
    assert torch.equal(drawn[1], drawn[2])
    assert 0.005 < float(drawn[1].std()) < 0.015 and not network.layer.bias.any()


def test_one_classifier_serves_the_image_and_its_partner() -> None:
    trial = _trial()
    plan = resolve(replace(trial, networks={}), describe(trial.data))
    parts = [part for part in plan.providers if part.function == "prototype_classifier"]
    assert [part.key for part in parts] == ["prototype_classifier", "prototype_classifier"]
    assert [part.provides for part in parts] == [("prototype_logits",), ("partner_prototype_logits",)]
