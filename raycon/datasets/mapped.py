"""Images that stay on disk: rows of a memory-mapped file that are read when they are asked for, and no earlier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class MappedImages:
    """Some rows of a file of uint8 images, indexed as a tensor [n, C, H, W] would be.

    An index gives a tensor with a copy of its rows, on the device of `to`; nothing else is read. `select` is a view of
    fewer or rearranged rows. `contents` [n] numbers the images by content, so that nobody needs to read all of them to
    find copies.
    """

    dtype = torch.uint8

    def __init__(
        self, pixels: np.ndarray[Any, Any], contents: Tensor, rows: Tensor, device: torch.device | str = "cpu"
    ):
        self._pixels, self._contents, self._rows, self.device = pixels, contents, rows, torch.device(device)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self._pixels.shape[1:]))

    @property
    def contents(self) -> Tensor:
        return self._contents[self._rows]

    def dim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        wanted = self._rows[index.cpu() if isinstance(index, Tensor) else index]
        return torch.from_numpy(self._pixels[wanted.numpy()]).to(self.device)

    def select(self, index: Tensor) -> MappedImages:
        """The rows of `index`, in that order, still on disk."""
        return MappedImages(self._pixels, self._contents, self._rows[index.cpu()], self.device)

    def to(self, device: torch.device | str) -> MappedImages:
        """The same rows; what is read from now on is put on `device`."""
        return MappedImages(self._pixels, self._contents, self._rows, device)
