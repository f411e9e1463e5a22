"""Mixup: a circle of partners, and convex combinations in the drawn proportion."""

from __future__ import annotations

import pytest
import torch

from raycon.transforms.mixup import mixup, next_in_a_circle
from tests.transforms.batches import batch


def test_everyone_is_a_partner_once_and_nobody_his_own() -> None:
    draws = torch.rand(100, generator=torch.Generator().manual_seed(3))
    partners = next_in_a_circle(draws)
    assert sorted(partners.tolist()) == list(range(100))
    assert (partners != torch.arange(100)).all()
    assert next_in_a_circle(torch.tensor([0.2, 0.9, 0.1, 0.5])).tolist() == [3, 2, 0, 1]


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_images_and_labels_are_mixed_in_the_same_proportion(alpha: float) -> None:
    tensors = batch()
    views, labels = tensors["views"], tensors["labels"]
    made = mixup(views, labels, tensors["draws"], alpha=alpha)
    partners = next_in_a_circle(tensors["draws"][:, 0])
    share = made["mixed_share"].view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(made["mixed_views"], share * views + (1 - share) * views[partners])
    assert torch.equal(made["mixed_labels"], labels[partners])
    assert (made["mixed_share"] >= 0).all() and (made["mixed_share"] <= 1).all()
