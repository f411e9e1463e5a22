"""Partners are uniform among the allowed ones, and each draw decides for its own row."""

from __future__ import annotations

import torch

from raycon.transforms.pairing import choose_partners, mix_pairs, mix_with_partners, or_self


def test_partners_are_uniform_among_the_allowed() -> None:
    allowed = torch.tensor([[False, True, False, True, True]]).expand(3000, -1)
    draws = (torch.arange(3000).double() + 0.5) / 3000
    counts = torch.bincount(choose_partners(allowed, draws), minlength=5)
    assert counts.tolist() == [0, 1000, 0, 1000, 1000]


def test_extreme_draws_stay_among_the_allowed() -> None:
    allowed = torch.tensor([[False, True, True, False]] * 2 + [[False] * 4])
    largest = torch.tensor(1.0).nextafter(torch.tensor(0.0))
    assert choose_partners(allowed, torch.stack([torch.zeros(()), largest, largest])).tolist() == [1, 2, -1]
    many = torch.ones(1, 4096, dtype=torch.bool)
    assert choose_partners(many, largest[None]).item() == 4095


def test_images_without_partner_stay_exactly_as_they_are() -> None:
    images = torch.randn(3, 2, 1, 4, 4)
    partners, shares = torch.tensor([2, -1, 0]), torch.tensor([0.25, 0.3, 1.0])
    mixed = mix_pairs(images, partners, shares)
    torch.testing.assert_close(mixed[0], 0.25 * images[0] + 0.75 * images[2])
    assert torch.equal(mixed[1], images[1])
    torch.testing.assert_close(mixed[2], images[2])
    assert or_self(partners).tolist() == [2, 1, 0]


def test_labels_and_shares_follow_the_partners() -> None:
    images = torch.randn(3, 1, 1, 2, 2)
    made = mix_with_partners(images, torch.tensor([5, 6, 7]), torch.tensor([2, -1, 0]), torch.full((3,), 0.25))
    assert made["mixed_labels"].tolist() == [7, 6, 5]
    assert made["mixed_share"].tolist() == [0.25, 1.0, 0.25]
    assert made["paired"].tolist() == [1, 0, 1]
