"""Small coloured pictures whose content is a shape and whose bias is its colour, and readings of both."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.networks.translation.families import intensity
from raycon.networks.translation.training import Recipe

SIZE, CLASSES = 16, 3
COLOURS = torch.tensor([[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0]])


def pictures(images: int = 120, *, conflicting: float = 0.05) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 [n, 3, 16, 16], labels and colours [n]: a bar, a square or a cross, at random places."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % CLASSES
    stray = torch.rand(images, generator=draw) < conflicting
    colours = torch.where(stray, (labels + 1) % CLASSES, labels)
    grey = torch.zeros(images, SIZE, SIZE)
    for image, (x, y) in enumerate(torch.randint(1, 7, (images, 2), generator=draw).tolist()):
        if labels[image] == 0:
            grey[image, y : y + 8, x : x + 2] = 0.9
        elif labels[image] == 1:
            grey[image, y : y + 5, x : x + 5] = 0.9
        else:
            grey[image, y + 3, x : x + 8] = grey[image, y : y + 8, x + 3] = 0.9
    pixels = grey[:, None] * COLOURS[colours][:, :, None, None]
    return (pixels * 255).round().to(torch.uint8), labels, colours


def colour_of(images: Tensor) -> Tensor:
    """Which of the colours the bright pixels of [n, 3, H, W] in [0, 1] have."""
    found = images.sum(dim=(2, 3)) / intensity(images).sum(dim=(1, 2, 3))[:, None].clamp(min=1e-6)
    return torch.cdist(found, COLOURS).argmin(dim=1)


def recipe(**changes: object) -> Recipe:
    """A quick one."""
    settings: dict[str, object] = {
        "family": "gain",
        "iterations": 60,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "critic_steps": 1,
        "width": 8,
        "intensity_weight": 10.0,
    }
    return Recipe(**{**settings, **changes})  # type: ignore[arg-type]  # the names are checked by the dataclass
