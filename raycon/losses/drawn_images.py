"""Choosing images of a batch at random, from the numbers that a step draws for every image and from nothing else.

A generator would give other choices when the batch is cut among workers or put in another order. Here the n-th choice
of an image is a hash of its own draws and of n, and it counts along an order of the batch that the draws themselves
define.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COLUMNS, _BITS = 3, 16
"""Of the draws three columns are used, 16 bits each: enough to tell images apart, and no more than float32 holds."""

_MASK = (1 << 32) - 1
_STEP = 0x9E3779B9


def drawn_images(candidates: Tensor, draws: Tensor, count: int, *, first: int = 0) -> Tensor:
    """[N, count] int64: for each image `count` numbers of images, independent and uniform over its candidates.

    Args:
        candidates: [N, N] bool, row = the image that chooses. A row without any gives numbers that mean nothing.
        draws: [N, R] in [0, 1), R >= 3, each image's own.
        count: how many choices an image makes, with replacement.
        first: the number of the first choice. Choices of other numbers are independent of one another.

    The choices follow the images when the batch is put in another order. Raises ValueError for draws of another shape.
    """
    if draws.ndim != 2 or len(draws) != len(candidates) or draws.shape[1] < _COLUMNS:
        raise ValueError(f"draws must be [{len(candidates)}, {_COLUMNS} or more], got {list(draws.shape)}")
    parts = (draws[:, :_COLUMNS] * (1 << _BITS)).long().clamp(0, (1 << _BITS) - 1).unbind(dim=1)
    order = ((parts[0] << (2 * _BITS)) + (parts[1] << _BITS) + parts[2]).argsort()
    reached = candidates[:, order].cumsum(dim=1)
    ranks = (_hashes(parts, count, first) * reached[:, -1:]) >> 32
    places = torch.searchsorted(reached, ranks + 1)
    return order[places.clamp(max=len(draws) - 1)]


def _hashes(parts: tuple[Tensor, ...], count: int, first: int) -> Tensor:
    """[N, count] whole numbers below 2^32, the n-th a hash of the image's draws and of n."""
    key = _mixed(_mixed(parts[0] + (parts[1] << _BITS)) ^ parts[2])
    numbers = torch.arange(first, first + count, device=key.device)
    return _mixed(_mixed((key[:, None] + (numbers + 1) * _STEP) & _MASK) ^ key[:, None])


def _mixed(values: Tensor) -> Tensor:
    """A bijection of the numbers below 2^32 that spreads every bit: two rounds of multiply and shift. Both factors are
    below 2^31, so that no product leaves int64."""
    values = values ^ (values >> 15)
    values = (values * 0x2C1B3C6D) & _MASK
    values = values ^ (values >> 12)
    values = (values * 0x297A2D39) & _MASK
    return values ^ (values >> 15)
