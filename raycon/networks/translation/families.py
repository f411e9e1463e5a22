"""The generators G(x, target label) -> x' in three families, and the critic that trains them.

Pixels lie in [0, 1]. What a family cannot change is its prior on what the bias may be: `gain` and `pixel` assume colour
or brightness, `conv` assumes nothing, and may change the content instead of the bias.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Family = Literal["gain", "pixel", "conv"]

MARGIN = 0.02
"""How near to black and white `pixel` takes a pixel to be at most: log-odds of 0 and 1 are infinite."""


def intensity(images: Tensor) -> Tensor:
    """The largest channel of each pixel: [n, C, H, W] -> [n, 1, H, W]. Multiplying channels by factors of which the
    largest is 1 leaves it about as it was, so it stands for an image without its colour."""
    return images.amax(dim=1, keepdim=True)


def normalised_intensity(images: Tensor) -> Tensor:
    """`intensity` as a share of its largest value in the image; a black image stays black."""
    values = intensity(images)
    return values / values.amax(dim=(2, 3), keepdim=True).clamp(min=1 / 255)


class Gain(nn.Module):
    """One factor per channel and image, from the image's colour statistics and the target: x' = intensity(x) * factor.

    Shapes and shading are kept by construction; colours within an image are not: it gets a single one.
    """

    def __init__(self, channels: int, classes: int, width: int):
        super().__init__()
        self.classes = classes
        hidden = 2 * width
        self.layers = nn.Sequential(
            *(nn.Linear(channels + 1 + classes, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, channels),
        )

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        values = intensity(images)
        total = values.mean(dim=(1, 2, 3))[:, None]
        colour = images.mean(dim=(2, 3)) / total.clamp(min=1 / 255)
        known = torch.cat([colour, total, functional.one_hot(targets, self.classes).to(images.dtype)], dim=1)
        factors: Tensor = self.layers(known).sigmoid()
        return values * factors[:, :, None, None]


class Pixel(nn.Module):
    """1x1 convolutions: every pixel is mapped by itself, so that things can change colour, not place or shape.

    They add to the pixel's own log-odds, so that an untrained generator leaves the image about as it is.
    """

    def __init__(self, channels: int, classes: int, width: int):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels + classes, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        change: Tensor = self.layers(_with_target(images, targets, self.classes))
        return (images.clamp(MARGIN, 1 - MARGIN).logit() + change).sigmoid()


class Conv(nn.Module):
    """A StarGAN generator cut down to small images: one step down, one convolution, one step up."""

    def __init__(self, channels: int, classes: int, width: int):
        super().__init__()
        self.classes = classes
        self.down = nn.Sequential(
            *(nn.Conv2d(channels + classes, width, 5, 1, 2, bias=False), _instance_norm(width), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), _instance_norm(2 * width), nn.ReLU()),
            *(nn.Conv2d(2 * width, 2 * width, 3, 1, 1, bias=False), _instance_norm(2 * width), nn.ReLU()),
        )
        self.up = nn.Sequential(nn.Conv2d(2 * width, width, 3, 1, 1, bias=False), _instance_norm(width), nn.ReLU())
        self.last = nn.Conv2d(width, channels, 5, 1, 2)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        rows = self.down(_with_target(images, targets, self.classes))
        rows = self.up(functional.interpolate(rows, size=images.shape[2:], mode="nearest"))
        made: Tensor = self.last(rows).sigmoid()
        return made


class Critic(nn.Module):
    """images -> a map of scores (is this patch real?) [n, 1, h, w] and logits of the label [n, K]."""

    def __init__(self, channels: int, classes: int, size: int, width: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.01)),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.01)),
            *(nn.Conv2d(2 * width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.01)),
        )
        self.score = nn.Conv2d(2 * width, 1, 3, 1, 1, bias=False)
        self.label = nn.Conv2d(2 * width, classes, size // 8, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.body(images)
        return self.score(rows), self.label(rows).flatten(1)


FAMILIES: dict[Family, type[Gain] | type[Pixel] | type[Conv]] = {"gain": Gain, "pixel": Pixel, "conv": Conv}
SMALLEST = 8
"""The critic halves an image three times."""


def _with_target(images: Tensor, targets: Tensor, classes: int) -> Tensor:
    """The images with one more plane a label, all ones in that of the target."""
    planes = functional.one_hot(targets, classes).to(images.dtype)[:, :, None, None]
    return torch.cat([images, planes.expand(-1, -1, *images.shape[2:])], dim=1)


def _instance_norm(width: int) -> nn.Module:
    return nn.InstanceNorm2d(width, affine=True)
