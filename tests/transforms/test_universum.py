"""Universum images: partners of another class from view 0, in the stated proportion."""

from __future__ import annotations

import pytest
import torch

from raycon.transforms.universum import mix_universum, universum
from tests.transforms.batches import batch


def test_every_view_is_mixed_with_a_first_view_of_another_class() -> None:
    tensors = batch()
    views, labels = tensors["views"], tensors["labels"]
    made = universum(views, labels, tensors["draws"], share=0.3)
    assert made["paired"].tolist() == [1.0] * len(labels)
    for i in range(len(labels)):
        for v in range(2):
            others = (made["universum_views"][i, v] - 0.7 * views[i, v]) / 0.3
            near = [bool((others - views[j, 0]).abs().max() < 1e-9) for j in range(len(labels))]
            assert sum(near) == 1
            assert labels[near.index(True)] != labels[i]


def test_partners_come_from_all_other_classes_alike() -> None:
    images = 900
    labels = torch.arange(images) % 3
    views = torch.arange(images, dtype=torch.float64).view(-1, 1, 1, 1, 1)
    draws = torch.rand(images, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    partners = universum(views, labels, draws, share=1.0)["universum_views"].flatten().round().long()
    assert (labels[partners] != labels).all()
    counts = torch.bincount(3 * labels + labels[partners], minlength=9).view(3, 3)
    assert counts.diagonal().sum() == 0 and (counts + 300 * torch.eye(3) > 120).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_cutmix_pastes_a_whole_box_of_the_image(share: float) -> None:
    tensors = batch(images=200, size=20)
    views = torch.ones_like(tensors["views"]) * torch.arange(200).view(-1, 1, 1, 1, 1)
    made = universum(views, tensors["labels"], tensors["draws"], share=share, mix="cutmix")["universum_views"]
    own = (made == views)[:, :, 0]
    area = own.double().mean(dim=(2, 3))
    assert (area - (1 - share)).abs().max() < 0.05 and area.std() < 1e-9
    boxes = own.any(dim=2, keepdim=True) & own.any(dim=3, keepdim=True)
    assert torch.equal(own, boxes)
    if 0 < share < 1:
        assert len({tuple(row.flatten().tolist()) for row in own[:, 0]}) > 10


def test_mixing_with_oneself_changes_nothing() -> None:
    images = torch.randn(4, 1, 3, 3)
    assert torch.equal(mix_universum(images, torch.arange(4), 0.37), images)


def test_too_many_views_and_other_mixes_are_refused() -> None:
    tensors = batch(views=11)
    universum(tensors["views"], tensors["labels"], tensors["draws"])
    with pytest.raises(ValueError, match="33 random numbers"):
        universum(tensors["views"], tensors["labels"], tensors["draws"], mix="cutmix")
    with pytest.raises(ValueError, match="mix must be one of"):
        universum(tensors["views"], tensors["labels"], tensors["draws"], mix="paste")  # type: ignore[arg-type]
