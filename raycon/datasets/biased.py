"""Wrapper: binds a colour to the label, so that an easy cue competes with the shape of things."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from raycon.config import Bias
from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed

BACKGROUND_COLOURS = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (225, 225, 0),
    (225, 0, 225),
    (0, 255, 255),
    (255, 128, 0),
    (255, 0, 128),
    (128, 0, 255),
    (50, 255, 128),
)
"""The ten colours of Biased-MNIST (Bahng et al. 2020, public code), RGB in 0 to 255; the tenth is that of Barbano et
al. 2023 (public code), where Bahng et al. have a grey, (128, 128, 128)."""

FOREGROUND_COLOURS = (
    (0.984, 0.313, 0.169),
    (0.990, 0.916, 0.351),
    (0.673, 0.461, 0.580),
    (0.783, 0.832, 0.601),
    (0.088, 0.778, 0.982),
    (0.321, 0.961, 0.446),
    (0.025, 0.236, 0.759),
    (0.555, 0.102, 0.762),
    (0.208, 0.393, 0.019),
    (0.834, 0.202, 0.267),
)
"""The ten colour means of Colored MNIST (Nam et al. 2020, Learning from Failure), RGB in 0 to 1."""

COLOURED_MEAN = COLOURED_STD = (0.5, 0.5, 0.5)


def biased(table: ImageTable, bias: Bias, *, labels: str, seed: int, bound: bool) -> ImageTable:
    """`table` (one split, grey) in colour: uint8 [n, 3, H, W] and the attributes `colour` and `aligned`.

    Colour k belongs to value k of the attribute `labels`, so there are as many colours as it has values (at most ten).
    With `bound` (training) each value has `bias_counts` images of its own and of the other colours; without
    (validation, test) every colour is equally frequent within each value, up to one image. Which image gets which
    colour depends on `seed` and its place in the table. `aligned` is 1 where the colour is the label's own.

    place `background`: pixels of value 0 take the colour, the others stay grey. place `foreground`: the grey image is
    multiplied by the colour (Colored MNIST). In both an image's colour is its mean plus N(0, noise) per channel in
    units of [0, 1], clamped to [0, 1]. `binary`: pixels other than 0 are white before that; with `background` this is
    Biased-MNIST as its public code makes it.
    """
    values, count = table.attributes[labels], table.sizes[labels]
    colours = bound_cues(values, count, rate=bias.rate, seed=seed) if bound else uniform_cues(values, count, seed=seed)
    shades = _shades(colours, bias, seed)
    attributes = {**table.attributes, "colour": colours, "aligned": (colours == values).to(torch.int64)}
    images = table.images[:]
    return replace(
        table,
        images=_paint((images > 0).to(torch.uint8) * 255 if bias.binary else images, shades, bias.place),
        attributes=attributes,
        sizes={**table.sizes, "colour": count, "aligned": 2},
        mean=COLOURED_MEAN,
        std=COLOURED_STD,
    )


def bias_counts(images: int, rate: float, others: int) -> tuple[int, list[int]]:
    """How many of a label's `images` get its own colour, and how many each of the `others` colours in turn.

    aligned = int(images * rate). The rest is dealt out in chunks of ceil(rest / others), so the last colours may get
    fewer or none: 10 images over 9 colours are five twos. Source: Bahng et al. 2020, the public BiasedMNIST code.
    """
    aligned = int(images * rate)
    rest = images - aligned
    if others == 0:
        return images, []
    chunk = math.ceil(rest / others)
    return aligned, [min(chunk, max(rest - chunk * turn, 0)) for turn in range(others)]


def bound_cues(values: Tensor, count: int, *, rate: float, seed: int, name: str = "colour") -> Tensor:
    """A cue, 0 to `count` - 1, for each of `values`: in each value `bias_counts` have its own and the other ones."""
    cues = torch.empty_like(values)
    for value in range(count):
        rows = (values == value).nonzero().flatten()
        generator = _generator(seed, name, value)
        aligned, conflicting = bias_counts(len(rows), rate, count - 1)
        others = torch.tensor([other for other in range(count) if other != value], dtype=torch.int64)
        others = others[torch.randperm(len(others), generator=generator)]
        dealt = torch.cat([torch.full((aligned,), value), others.repeat_interleave(torch.tensor(conflicting))])
        cues[rows[torch.randperm(len(rows), generator=generator)]] = dealt
    return cues


def uniform_cues(values: Tensor, count: int, *, seed: int, name: str = "colour") -> Tensor:
    """A cue, 0 to `count` - 1, for each of `values`: all equally frequent within each value, up to one image."""
    cues = torch.empty_like(values)
    for value in range(count):
        rows = (values == value).nonzero().flatten()
        generator = _generator(seed, name, value)
        order = torch.randperm(count, generator=generator)
        dealt = order[torch.arange(len(rows)) % count]
        cues[rows[torch.randperm(len(rows), generator=generator)]] = dealt
    return cues


def _shades(colours: Tensor, bias: Bias, seed: int) -> Tensor:
    """Every image's own colour, float32 [n, 3] in [0, 1]."""
    background = torch.tensor(BACKGROUND_COLOURS, dtype=torch.float32) / 255
    means = background if bias.place == "background" else torch.tensor(FOREGROUND_COLOURS)
    shades = means[colours]
    if bias.noise > 0:
        shades = shades + bias.noise * torch.randn(shades.shape, generator=_generator(seed, "shade"))
    return shades.clamp(0, 1)


def _paint(images: Tensor, shades: Tensor, place: str) -> Tensor:
    """Grey uint8 [n, 1, H, W] and colours [n, 3] in [0, 1] to uint8 [n, 3, H, W].

    One channel at a time: float copies of a whole data set would be several times as large as the result.
    """
    painted = images.new_empty((len(images), 3, *images.shape[2:]))
    for channel in range(3):
        shade = shades[:, channel, None, None]
        grey = images[:, 0]
        if place == "background":
            full = (shade * 255).round().to(torch.uint8).expand_as(grey)
            painted[:, channel] = torch.where(grey == 0, full, grey)
        else:
            painted[:, channel] = (grey * shade).round().to(torch.uint8)
    return painted


def _generator(seed: int, *names: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, *names))
