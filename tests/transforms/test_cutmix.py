"""CutMix: boxes of the partner, and labels by the area that was really kept."""

from __future__ import annotations

import pytest
import torch

from raycon.transforms.cutmix import cutmix
from raycon.transforms.mixup import next_in_a_circle
from tests.transforms.batches import batch


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_boxes_come_from_the_partner_and_the_share_is_what_is_left(alpha: float) -> None:
    tensors = batch(images=60, size=9)
    views, labels = tensors["views"], tensors["labels"]
    made = cutmix(views, labels, tensors["draws"], alpha=alpha)
    partners = next_in_a_circle(tensors["draws"][:, 0])
    own = (made["mixed_views"] == views)[:, 0, 0]
    other = made["mixed_views"] == views[partners]
    assert torch.equal(other, ~own[:, None, None].expand_as(other))
    assert torch.equal(~own, (~own).any(dim=1, keepdim=True) & (~own).any(dim=2, keepdim=True))
    torch.testing.assert_close(made["mixed_share"], own.double().mean(dim=(1, 2)))
    assert torch.equal(made["mixed_labels"], labels[partners])
    assert made["mixed_share"].std() > 0.1


def test_a_box_at_the_corner_is_cut_off() -> None:
    tensors = batch(images=2, size=10)
    tensors["draws"][:, 1] = 0.36  # sides of 0.8: 8 pixels
    tensors["draws"][:, 2:4] = 0.0
    made = cutmix(tensors["views"], tensors["labels"], tensors["draws"])
    torch.testing.assert_close(made["mixed_share"], torch.full((2,), 1 - 16 / 100, dtype=torch.float64))
