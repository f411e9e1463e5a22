"""Wrapper: fifteen ways in which images go bad, five strengths each, on whole batches of small images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from raycon.datasets.jpeg import jpeg_coarsened
from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed

SEVERITIES = (1, 2, 3, 4, 5)
BLOCK = 250
"""Draws belong to blocks of so many rows, so that an image's corruption does not depend on how a table is read."""


def corrupted(table: ImageTable, family: str, severity: int, *, seed: int) -> ImageTable:
    """`table` with every image corrupted by one of FAMILIES at `severity` 1 to 5. Attributes stay.

    The families have the names of ImageNet-C (Hendrycks and Dietterich 2019, arXiv 1903.12261), and strengths for
    images of about 32 pixels. They are our own definitions in torch, of the same kinds of damage, without the published
    files of frost: accuracies on them are not those of the published sets. The same seed, family, severity and place in
    the table give the same image on one machine.

    Raises ValueError for an unknown family or severity.
    """
    if family not in FAMILIES or severity not in SEVERITIES:
        raise ValueError(f"no corruption {family!r} of severity {severity}; there are {', '.join(FAMILIES)}, 1 to 5")
    function, strengths = FAMILIES[family]
    made = []
    for block, start in enumerate(range(0, len(table), BLOCK)):
        generator = torch.Generator().manual_seed(derive_seed(seed, "corruption", family, severity, block))
        images = table.images[start : start + BLOCK].cpu().float() / 255
        made.append((function(images, *strengths[severity - 1], generator) * 255).round().clamp(0, 255).to(torch.uint8))
    return replace(table, images=torch.cat(made).to(table.images.device))


def gaussian_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """images + deviation N(0, 1), independent for every channel of every pixel."""
    return images + deviation * torch.randn(images.shape, generator=generator)


def shot_noise(images: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Poisson(photons x) / photons: brighter pixels are noisier."""
    return torch.poisson(images * photons, generator=generator) / photons


def impulse_noise(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A share of the values is set to 0 or 1, each half of them."""
    draws = torch.rand(images.shape, generator=generator)
    return images.masked_fill(draws < share / 2, 0.0).masked_fill(draws >= 1 - share / 2, 1.0)


def defocus_blur(images: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """The mean over a disc."""
    reach = math.ceil(radius)
    line = torch.arange(-reach, reach + 1.0)
    disc = (radius + 0.5 - torch.hypot(line[:, None], line)).clamp(0, 1)
    return _filter(images, (disc / disc.sum()).expand(len(images), -1, -1))


def glass_blur(images: Tensor, deviation: float, reach: int, share: float, generator: torch.Generator) -> Tensor:
    """A share of the pixels is replaced by one at most `reach` away, between two slight blurs."""
    blurred = _gaussian_blur(images, deviation)
    b, _, h, w = images.shape
    offsets = torch.randint(-reach, reach + 1, (2, b, h, w), generator=generator)
    offsets = offsets * (torch.rand(b, h, w, generator=generator) < share)
    rows = (torch.arange(h)[:, None] + offsets[0]).clamp(0, h - 1)
    columns = (torch.arange(w) + offsets[1]).clamp(0, w - 1)
    places = (rows * w + columns).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return _gaussian_blur(blurred.flatten(2).gather(2, places).view_as(images), deviation)


def motion_blur(images: Tensor, length: float, generator: torch.Generator) -> Tensor:
    """The mean along a line in a random direction, another one for every image."""
    return _filter(images, _lines(length, torch.rand(len(images), generator=generator) * math.pi))


def zoom_blur(images: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """The mean of the image and five enlargements of its middle, up to `most` times."""
    total = images.clone()
    for turn in range(1, 6):
        scale = 1 / (1 + (most - 1) * turn / 5)
        change = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]]).expand(len(images), -1, -1)
        total += _resample(images, functional.affine_grid(change, list(images.shape), align_corners=False))
    return total / 6


def snow(images: Tensor, density: float, length: float, whitening: float, generator: torch.Generator) -> Tensor:
    """Bright flakes, drawn out by the wind, on an image that is paler than it was."""
    b, _, h, w = images.shape
    flakes = (torch.rand(b, 1, h, w, generator=generator) < density).float()
    angles = math.pi * (0.25 + 0.5 * torch.rand(b, generator=generator))
    fallen = (_filter(flakes, _lines(length, angles)) * length).clamp(max=1)
    pale = (1 - whitening) * images + whitening * (0.5 * images + 0.5)
    return pale + fallen * (1 - pale)


def frost(images: Tensor, kept: float, ice: float, generator: torch.Generator) -> Tensor:
    """kept x + ice f, f a pattern of ridges: a random landscape folded at its middle height."""
    ridges = 1 - (2 * _landscape(images, 0.65, generator) - 1).abs()
    return kept * images + ice * ridges.square()


def fog(images: Tensor, amount: float, roughness: float, generator: torch.Generator) -> Tensor:
    """(x + amount f) m / (m + amount), f a random landscape from 0 to 1, m the image's largest value."""
    largest = images.amax(dim=(1, 2, 3), keepdim=True)
    return (images + amount * _landscape(images, roughness, generator)) * largest / (largest + amount)


def brightness(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """images + amount."""
    return images + amount


def contrast(images: Tensor, kept: float, generator: torch.Generator) -> Tensor:
    """The deviations from the mean of each channel of an image, scaled by `kept`."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + kept * (images - mean)


def elastic_transform(images: Tensor, shift: float, smoothness: float, generator: torch.Generator) -> Tensor:
    """Every pixel is taken from a place about `shift` pixels away, along a smooth random field."""
    b, _, h, w = images.shape
    field = _gaussian_blur(torch.randn(b, 2, h, w, generator=generator), smoothness)
    field = field / field.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() * shift
    straight = functional.affine_grid(torch.eye(2, 3).expand(b, -1, -1), list(images.shape), align_corners=False)
    return _resample(images, straight + field.movedim(1, 3) * 2 / torch.tensor([w, h]))


def pixelate(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """As few pixels as `share` of the width and height have, each the mean of what it covers, as blocks."""
    size = [max(1, round(side * share)) for side in images.shape[2:]]
    small = functional.interpolate(images, size, mode="area")
    return functional.interpolate(small, list(images.shape[2:]), mode="nearest-exact")


def jpeg_compression(images: Tensor, quality: float, generator: torch.Generator) -> Tensor:
    """What is left after JPEG's quantisation; see `raycon.datasets.jpeg`."""
    return jpeg_coarsened(images, quality)


Family = tuple[Callable[..., Tensor], tuple[tuple[float, ...], ...]]

FAMILIES: dict[str, Family] = {
    "gaussian_noise": (gaussian_noise, ((0.04,), (0.08,), (0.12,), (0.16,), (0.2,))),
    "shot_noise": (shot_noise, ((200.0,), (100.0,), (50.0,), (30.0,), (15.0,))),
    "impulse_noise": (impulse_noise, ((0.01,), (0.03,), (0.06,), (0.1,), (0.16,))),
    "defocus_blur": (defocus_blur, ((0.6,), (0.9,), (1.2,), (1.6,), (2.1,))),
    "glass_blur": (glass_blur, ((0.3, 1, 0.2), (0.4, 1, 0.4), (0.4, 1, 0.8), (0.5, 2, 0.6), (0.6, 2, 0.9))),
    "motion_blur": (motion_blur, ((3.0,), (4.0,), (5.0,), (7.0,), (9.0,))),
    "zoom_blur": (zoom_blur, ((1.1,), (1.2,), (1.3,), (1.4,), (1.5,))),
    "snow": (snow, ((0.01, 3.0, 0.1), (0.02, 3.0, 0.2), (0.03, 4.0, 0.3), (0.045, 4.0, 0.4), (0.06, 5.0, 0.5))),
    "frost": (frost, ((1.0, 0.2), (0.95, 0.3), (0.85, 0.4), (0.75, 0.5), (0.65, 0.6))),
    "fog": (fog, ((0.2, 0.4), (0.4, 0.4), (0.7, 0.45), (1.0, 0.5), (1.5, 0.55))),
    "brightness": (brightness, ((0.08,), (0.16,), (0.24,), (0.32,), (0.4,))),
    "contrast": (contrast, ((0.75,), (0.55,), (0.4,), (0.27,), (0.15,))),
    "elastic_transform": (elastic_transform, ((0.5, 2.0), (0.8, 2.0), (1.1, 2.0), (1.5, 2.0), (2.0, 2.0))),
    "pixelate": (pixelate, ((0.8,), (0.65,), (0.5,), (0.4,), (0.3,))),
    "jpeg_compression": (jpeg_compression, ((60.0,), (40.0,), (25.0,), (15.0,), (8.0,))),
}
"""name -> function of float images in [0, 1], its strengths and a generator; and the strengths of severity 1 to 5."""


def _filter(images: Tensor, kernels: Tensor) -> Tensor:
    """Every image [C, H, W] filtered with its own kernel [k, k], k odd; beyond the edge the edge's values go on."""
    b, c, h, w = images.shape
    reach = kernels.shape[-1] // 2
    padded = functional.pad(images, (reach,) * 4, mode="replicate").view(1, b * c, h + 2 * reach, w + 2 * reach)
    weights = kernels.repeat_interleave(c, dim=0)[:, None]
    return functional.conv2d(padded, weights, groups=b * c).view(b, c, h, w)


def _gaussian_blur(images: Tensor, deviation: float) -> Tensor:
    reach = math.ceil(3 * deviation)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1.0) / deviation).square())
    kernel = line[:, None] * line
    return _filter(images, (kernel / kernel.sum()).expand(len(images), -1, -1))


def _lines(length: float, angles: Tensor) -> Tensor:
    """Kernels [n, k, k] of sum 1: a line of `length` pixels through the middle at each angle, one pixel wide."""
    reach = math.ceil(length / 2)
    steps = torch.arange(-reach, reach + 1.0)
    along = steps * angles.cos()[:, None, None] + steps[:, None] * angles.sin()[:, None, None]
    across = steps[:, None] * angles.cos()[:, None, None] - steps * angles.sin()[:, None, None]
    kernels = (1 - across.abs()).clamp(min=0) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _resample(images: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _landscape(images: Tensor, roughness: float, generator: torch.Generator) -> Tensor:
    """Random heights [n, 1, H, W] from 0 to 1 in each image: noise at doubling resolutions, each `roughness` times as
    high as the one before."""
    b, _, h, w = images.shape
    total, height, cells = torch.zeros(b, 1, h, w), 1.0, 2
    while cells <= max(h, w):
        noise = torch.rand(b, 1, cells, cells, generator=generator)
        total += height * functional.interpolate(noise, (h, w), mode="bilinear", align_corners=True)
        height, cells = height * roughness, cells * 2
    low, high = total.amin(dim=(2, 3), keepdim=True), total.amax(dim=(2, 3), keepdim=True)
    return (total - low) / (high - low).clamp(min=1e-6)
