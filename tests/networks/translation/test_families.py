"""What each family can and cannot change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from raycon.networks.translation.families import FAMILIES, Critic, intensity, normalised_intensity
from tests.networks.translation.pictures import CLASSES, SIZE, pictures


def _images() -> Tensor:
    return pictures(12)[0].float() / 255


def _generator(family: Any) -> Any:
    torch.manual_seed(0)
    return FAMILIES[family](3, CLASSES, 8).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_target_matters_and_pixels_stay_in_range(family: str) -> None:
    images, generator = _images(), _generator(family)
    targets = torch.arange(12) % CLASSES
    made, other = generator(images, targets), generator(images, (targets + 1) % CLASSES)
    assert made.shape == images.shape and made.min() >= 0 and made.max() <= 1
    assert not torch.allclose(made, other, atol=1e-4)


def test_gain_keeps_the_shares_of_intensity() -> None:
    images = _images()
    made = _generator("gain")(images, torch.zeros(12, dtype=torch.int64))
    torch.testing.assert_close(normalised_intensity(made), normalised_intensity(images))


def test_a_black_image_stays_black_under_gain() -> None:
    black = torch.zeros(2, 3, SIZE, SIZE)
    made = _generator("gain")(black, torch.tensor([0, 1]))
    assert torch.equal(made, black)
    assert torch.equal(normalised_intensity(black), intensity(black))


def test_pixel_maps_every_pixel_by_itself() -> None:
    images, generator = _images(), _generator("pixel")
    targets = torch.ones(12, dtype=torch.int64)
    order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(1))

    def shuffled(pixels: Tensor) -> Tensor:
        return pixels.flatten(2)[..., order].view(pixels.shape)

    torch.testing.assert_close(generator(shuffled(images), targets), shuffled(generator(images, targets)))


def test_conv_sees_neighbours() -> None:
    images, generator = _images(), _generator("conv")
    targets = torch.ones(12, dtype=torch.int64)
    order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(1))
    shuffled = images.flatten(2)[..., order].view(images.shape)
    made = generator(images, targets).flatten(2)[..., order].view(images.shape)
    assert not torch.allclose(generator(shuffled, targets), made, atol=1e-3)


@pytest.mark.parametrize("size", [8, 12, 28, 32])
@pytest.mark.parametrize("family", FAMILIES)
def test_sizes(size: int, family: Any) -> None:
    images, targets = torch.rand(2, 1, size, size), torch.tensor([0, 3])
    assert FAMILIES[family](1, 4, 4)(images, targets).shape == images.shape
    scores, logits = Critic(1, 4, size, 4)(images)
    assert scores.shape[:2] == (2, 1) and len(logits) == 2 and logits.shape[1] % 4 == 0
