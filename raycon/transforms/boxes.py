"""Rectangles in images, as masks."""

from __future__ import annotations

import torch
from torch import Tensor


def box_mask(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, *, height: int, width: int) -> Tensor:
    """[..., height, width] bool: True in rows top <= y < bottom and columns left <= x < right, all of shape [...]."""
    y = torch.arange(height, device=top.device)
    x = torch.arange(width, device=top.device)
    rows = (y >= top[..., None]) & (y < bottom[..., None])
    columns = (x >= left[..., None]) & (x < right[..., None])
    return rows[..., :, None] & columns[..., None, :]
