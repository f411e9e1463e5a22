"""Random views of whole batches: one resampling for crop, flip and shift, then the grey values, each image its own way.

Working on batches with one parameter per image is over forty times as fast as transforming image by image. Nothing here
waits for the device: parameters stay tensors, and which parts are on is known from the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from raycon.config import Augmentation
from raycon.errors import InvalidFile

DRAWS = 8
"""Uniform numbers per view, in this order: scale, place x, place y, flip, shift x, shift y, contrast, brightness. Each
has its own place, so that switching one part on or off leaves the draws of the others as they are."""

SMALLEST = 2.0**-25
LARGEST = 1.0 - 2.0**-24


def epoch_draws(images: int, views: int, *, seed: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 [images, views, DRAWS] on the CPU, for one epoch.

    Row i depends on `seed`, `views` and i alone: not on the batch order, on the number of workers or on `images`. So a
    row belongs to an image of the training table when the caller indexes the rows by the image's number in it.
    """
    return torch.rand(images, views, DRAWS, generator=torch.Generator().manual_seed(seed))


def check_augmentation(augmentation: Augmentation, views: int | None = None) -> None:
    """Raise InvalidFile, with the field, for a range that ends below its start.

    With the number of `views` of an image: also for local crops that leave no other view, and for weak views beyond it.
    """
    for name in ("scale", "contrast", "local_scale"):
        low, high = getattr(augmentation, name)
        if low > high:
            raise InvalidFile(f"the range ends below its start: {low} to {high}", field=f"augmentation.{name}")
    if views is None:
        return
    if augmentation.local_views and augmentation.local_views >= views:
        reason = f"training.views is {views}: at least one view must stay beside {augmentation.local_views} local crops"
        raise InvalidFile(reason, field="augmentation.local_views")
    if any(view >= views for view in augmentation.weak_views):
        raise InvalidFile(f"views count from 0, and training.views is {views}", field="augmentation.weak_views")


def normalise(
    images: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """uint8 [B, C, H, W] to (images / 255 - mean) / std in `dtype`; mean and std per channel, in units of [0, 1]."""
    return _standardise(images.to(_working(dtype)) / 255, mean, std).to(dtype)


def augment(
    images: Tensor,
    draws: Tensor,
    augmentation: Augmentation,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Random views of uint8 `images` [B, C, H, W], normalised: [B, V, C, H, W] in `dtype`, on the device of `images`.

    `draws` [B, V, DRAWS] are the rows of `epoch_draws` for these images. A view depends on its image and draws alone.
    In this order, each part skipped when its setting is the identity:

    - scale (low, high): a crop of the image's own aspect whose share of its area is uniform in the range, uniform in
      place, resampled to the full size (RandomResizedCrop without change of aspect). Above 1 it shows more than the
      image. In the last `local_views` views the range is `local_scale`.
    - flip: mirrors left and right with this probability.
    - shift: moves the content by up to this share of the width (height), uniform, in both directions.
    - contrast (low, high): distances to the view's mean over channels and pixels times a factor uniform in the range.
    - brightness: adds an offset N(0, brightness) to the whole view, in units of [0, 1].
    - Views named in `weak_views` are left out of the last two.

    Resampling is bilinear. Beyond its edge an image is continued by reflection: it then keeps its own background, where
    a black frame would be a second colour in sets whose background carries the bias. Values may leave [0, 1]; clipping
    them would make large offsets destroy detail. With every part off the result is `normalise`, the same for all views.

    On the CPU a row alone equals the same row in any batch, bit for bit. Half precision dtypes are computed in float32
    and rounded at the end.
    """
    batch, views = draws.shape[:2]
    if images.dim() != 4 or len(images) != batch or draws.shape[2:] != (DRAWS,):
        raise ValueError(f"images {list(images.shape)} and draws {list(draws.shape)} do not fit each other")
    check_augmentation(augmentation)
    working = _working(dtype)
    pixels, uniform = images.to(working) / 255, draws.to(working)
    if _resamples(augmentation):
        pixels = _resample(pixels, uniform, augmentation)
    elif augmentation.flip > 0:
        mirrored = uniform[..., 3, None, None, None] < augmentation.flip
        pixels = torch.where(mirrored, pixels.flip(-1).unsqueeze(1), pixels.unsqueeze(1))
    else:
        pixels = pixels.unsqueeze(1)
    pixels = _standardise(_grey_values(pixels, uniform, augmentation), mean, std).to(dtype)
    return pixels.expand(batch, views, *images.shape[1:]).contiguous()


def _resamples(augmentation: Augmentation) -> bool:
    return augmentation.scale != (1.0, 1.0) or augmentation.shift > 0 or augmentation.local_views > 0


def _resample(pixels: Tensor, uniform: Tensor, augmentation: Augmentation) -> Tensor:
    """[B, C, H, W] to views [B, V, C, H, W] through one sampling grid.

    The grids of an image's views stand below each other in one tall grid, so the image itself is not repeated. A grid
    coordinate is side * place + centre, with places -1 to 1 across the view; there is no rotation, so the two axes
    are independent, and no product of matrices (whose rounding could depend on the batch) is needed.
    """
    (batch, channels, height, width), views = pixels.shape, uniform.shape[1]
    side = _areas(uniform[..., 0], augmentation).sqrt()
    room = 1 - side
    centre_x = room * (2 * uniform[..., 1] - 1) - 2 * augmentation.shift * (2 * uniform[..., 4] - 1)
    centre_y = room * (2 * uniform[..., 2] - 1) - 2 * augmentation.shift * (2 * uniform[..., 5] - 1)
    direction = torch.where(uniform[..., 3] < augmentation.flip, -side, side)
    x = _reflected(direction.unsqueeze(-1) * _places(width, pixels) + centre_x.unsqueeze(-1))
    y = _reflected(side.unsqueeze(-1) * _places(height, pixels) + centre_y.unsqueeze(-1))
    shape = (batch, views, height, width)
    grid = torch.stack([x.unsqueeze(2).expand(shape), y.unsqueeze(3).expand(shape)], dim=-1)
    grid = grid.view(batch, views * height, width, 2)
    sampled = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.view(batch, channels, views, height, width).transpose(1, 2)


def _areas(uniform: Tensor, augmentation: Augmentation) -> Tensor:
    """The share of the image's area that each view [B, V] shows."""
    low, high = augmentation.scale
    areas = low + (high - low) * uniform
    if augmentation.local_views == 0:
        return areas
    low, high = augmentation.local_scale
    wide = uniform.shape[1] - augmentation.local_views
    return torch.cat([areas[:, :wide], low + (high - low) * uniform[:, wide:]], dim=1)


def _places(count: int, like: Tensor) -> Tensor:
    """The centres of `count` pixels across -1 to 1."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1


def _reflected(coordinates: Tensor) -> Tensor:
    """Coordinates beyond the edges -1 and 1 thrown back inside. On one axis at a time this is far cheaper than
    grid_sample's own reflection, which would do it for every pixel; border padding is left for the outer half pixel."""
    return (torch.remainder(coordinates - 1, 4) - 2).abs_() - 1


def _grey_values(pixels: Tensor, uniform: Tensor, augmentation: Augmentation) -> Tensor:
    """Contrast and brightness of pixels [B, V or 1, C, H, W], views that are to stay weak apart."""
    views = range(uniform.shape[1])
    if not any(view in augmentation.weak_views for view in views):
        return _changed_grey_values(pixels, uniform, augmentation)
    pixels = pixels.expand(-1, len(views), -1, -1, -1)
    changed = _changed_grey_values(pixels, uniform, augmentation)
    return torch.stack([(pixels if v in augmentation.weak_views else changed)[:, v] for v in views], dim=1)


def _changed_grey_values(pixels: Tensor, uniform: Tensor, augmentation: Augmentation) -> Tensor:
    low, high = augmentation.contrast
    if (low, high) != (1.0, 1.0):
        factor = (low + (high - low) * uniform[..., 6])[..., None, None, None]
        # In two steps: a single long sum may be divided among threads, and then its rounding depends on the batch.
        middle = pixels.mean(dim=(3, 4), keepdim=True).mean(dim=2, keepdim=True)
        pixels = ((pixels - middle) * factor).add_(middle)
    if augmentation.brightness > 0:
        normal = torch.special.ndtri(uniform[..., 7].clamp(SMALLEST, LARGEST))
        pixels = pixels + augmentation.brightness * normal[..., None, None, None]
    return pixels


def _standardise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return (pixels - _per_channel(mean, pixels)).div_(_per_channel(std, pixels))


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor | float:
    """[C, 1, 1] on the device of `like`, made by filling: copying a list to a GPU would wait for it."""
    if len(set(values)) == 1:
        return values[0]
    filled = torch.cat([like.new_full((1,), value) for value in values])
    return filled[:, None, None]


def _working(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
