"""Clusters are found, seeded, and survive what real embeddings bring: dead dimensions, equal rows, empty clusters."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from raycon.networks import k_means as module
from raycon.networks.k_means import Start, k_means, whiten


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _blobs(clusters: int = 6, each: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    middles = 10 * torch.eye(clusters, 8, dtype=torch.float64)
    truth = torch.arange(clusters).repeat(each)
    return middles[truth] + torch.randn(len(truth), 8, generator=_generator(3), dtype=torch.float64), truth


def test_blobs_are_found_whatever_their_numbers() -> None:
    rows, truth = _blobs()
    found = k_means(rows, 6, generator=_generator())
    same = found[:, None] == found[None, :]
    assert torch.equal(same, truth[:, None] == truth[None, :])


@pytest.mark.parametrize("start", get_args(Start))
def test_the_seed_decides_and_nothing_else(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(200, 5, generator=_generator(1), dtype=torch.float64)
    first = k_means(rows, 8, generator=_generator(), start=start)
    torch.manual_seed(99)
    assert torch.equal(first, k_means(rows, 8, generator=_generator(), start=start))
    assert not torch.equal(first, k_means(rows, 8, generator=_generator(1), start=start))
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    assert torch.equal(first, k_means(rows, 8, generator=_generator(), start=start))


def test_a_round_brings_rows_nearer_to_their_centres() -> None:
    rows = torch.randn(300, 4, generator=_generator(2), dtype=torch.float64)

    def spread(iterations: int) -> float:
        found = k_means(rows, 5, generator=_generator(), iterations=iterations, start="random")
        parts = [rows[found == cluster] for cluster in range(5)]
        return float(sum((part - part.mean(dim=0)).square().sum() for part in parts if len(part)))

    assert spread(20) < spread(1) < spread(0)


def test_an_empty_cluster_starts_anew_at_the_farthest_row() -> None:
    rows = torch.tensor([[0.0], [0.1], [0.2], [5.0]], dtype=torch.float64)
    nearest, distances = torch.zeros(4, dtype=torch.int64), (rows[:, 0] - 0.1).square()
    centres = module._middles(rows, nearest, distances, 2)
    assert centres[:, 0].tolist() == pytest.approx([1.325, 5.0])


def test_equal_rows_are_one_cluster_and_no_trouble() -> None:
    rows = torch.ones(10, 3, dtype=torch.float64)
    assert torch.equal(whiten(rows, 2), torch.zeros(10, 2, dtype=torch.float64))
    for start in get_args(Start):
        assert len(set(k_means(rows, 4, generator=_generator(), start=start).tolist())) == 1


def test_as_many_clusters_as_rows() -> None:
    rows = torch.randn(6, 3, generator=_generator(), dtype=torch.float64)
    assert sorted(k_means(rows, 6, generator=_generator()).tolist()) == list(range(6))


@pytest.mark.parametrize("clusters", [0, 11])
def test_more_clusters_than_rows_are_refused(clusters: int) -> None:
    with pytest.raises(ValueError, match="cannot form"):
        k_means(torch.randn(10, 2), clusters, generator=_generator())


def test_whitening_takes_the_leading_components_and_forgets_scale_and_dead_dimensions() -> None:
    noise = torch.randn(500, 3, generator=_generator(), dtype=torch.float64)
    rows = torch.cat([100 * noise[:, :1], noise[:, 1:2], 1e-9 * noise[:, 2:], torch.ones(500, 1)], dim=1)
    white = whiten(rows.float(), 4)
    assert white.shape == (500, 4)
    assert torch.allclose(white.norm(dim=1), torch.ones(500, dtype=torch.float64))
    alive = white.abs().amax(dim=0) > 0
    assert alive.tolist() == [False, False, True, True]
    assert white.square().mean(dim=0)[2:].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert whiten(rows, 1).abs().mean() == pytest.approx(1.0)  # one component, of unit length: a sign
