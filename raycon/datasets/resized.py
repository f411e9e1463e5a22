"""Wrapper: images at another size."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from raycon.datasets.table import ImageTable

ROWS_AT_ONCE = 2000


def resized(table: ImageTable, size: int) -> ImageTable:
    """`table` with images of `size` x `size`: bilinear with antialiasing, rounded to whole grey values.

    For sets that come as arrays; files are resampled where they are decoded (`decoded_images`). Mean and standard
    deviation stay those of the original size.
    """
    if tuple(table.images.shape[2:]) == (size, size):
        return table
    chunks = [table.images[start : start + ROWS_AT_ONCE] for start in range(0, len(table), ROWS_AT_ONCE)]
    return replace(table, images=torch.cat([_resample(chunk, size) for chunk in chunks]))


def _resample(images: Tensor, size: int) -> Tensor:
    made = functional.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)
    return made.round().clamp(0, 255).to(torch.uint8)
