"""Choices that follow from draws: uniform, independent of one another, and the images' own wherever they stand."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from raycon.losses.drawn_images import drawn_images
from raycon.vocabulary import DRAWS


def _draws(images: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(images, DRAWS, generator=torch.Generator().manual_seed(seed))


def _others(images: int) -> torch.Tensor:
    return ~torch.eye(images, dtype=torch.bool)


def test_choices_are_uniform_over_the_candidates() -> None:
    chosen = drawn_images(_others(12), _draws(12), 5000)
    for image, row in enumerate(chosen):
        counts = torch.bincount(row, minlength=12)
        assert counts[image] == 0
        assert stats.chisquare(counts[torch.arange(12) != image].numpy()).pvalue > 1e-4


def test_choices_of_different_numbers_images_and_draws_are_independent() -> None:
    """Agreement of two choices among 10 candidates is a matter of chance: 1 in 10."""
    candidates = torch.ones(10, 10, dtype=torch.bool)
    chosen = torch.stack([drawn_images(candidates, _draws(10, seed), 200) for seed in range(20)])
    share = 1 / 10
    # Ranks in the order of the draws would agree if two images had the same numbers: compare images of one batch.
    pairs = {
        "numbers": chosen[:, :, :-1] == chosen[:, :, 1:],
        "images": chosen[:, :-1] == chosen[:, 1:],
        "draws": chosen[:-1] == chosen[1:],
    }
    for name, equal in pairs.items():
        error = (share * (1 - share) / equal.numel()) ** 0.5
        assert abs(equal.double().mean().item() - share) < 5 * error, name


def test_the_first_number_shifts_the_sequence() -> None:
    whole = drawn_images(_others(9), _draws(9), 20)
    assert torch.equal(drawn_images(_others(9), _draws(9), 15, first=5), whole[:, 5:])


def test_choices_follow_the_images() -> None:
    draws = _draws(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    chosen = drawn_images(_others(9), draws, 40)
    moved = drawn_images(_others(9), draws[order], 40)
    assert torch.equal(order[moved], chosen[order])


def test_only_candidates_are_chosen() -> None:
    candidates = torch.rand(30, 30, generator=torch.Generator().manual_seed(1)) < 0.2
    candidates[0] = False
    candidates[:, 3] = True
    chosen = drawn_images(candidates, _draws(30), 100)
    assert chosen.shape == (30, 100) and chosen.min() >= 0 and chosen.max() < 30
    assert candidates.gather(1, chosen)[1:].all()


def test_draws_in_double_precision_choose_the_same() -> None:
    assert torch.equal(drawn_images(_others(9), _draws(9).double(), 30), drawn_images(_others(9), _draws(9), 30))


@pytest.mark.parametrize("draws", [_draws(8), _draws(9)[:, :2], _draws(9)[0]])
def test_draws_of_another_shape_are_refused(draws: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="draws must be"):
        drawn_images(_others(9), draws, 3)
