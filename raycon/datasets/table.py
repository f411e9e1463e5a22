"""The contract of a data set: all images in one uint8 tensor, named integer attributes, and row numbers per split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raycon.datasets.mapped import MappedImages


@dataclass(frozen=True)
class ImageTable:
    """Images with integer attributes.

    images: uint8 [n, C, H, W], or rows of a file that are read when they are indexed: `images[rows]` is a tensor in
    both cases. attributes: name -> int64 [n]; `class` is always there. sizes: name -> number of values an attribute can
    take. splits: name -> int64 row numbers; loaders give `train`, `test` and, where it is official, `validation`, which
    `raycon.datasets.splits` adds to the others. mean, std: per channel, in units of [0, 1] pixels.
    """

    images: Tensor | MappedImages
    attributes: Mapping[str, Tensor]
    sizes: Mapping[str, int]
    splits: Mapping[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, index: Tensor) -> ImageTable:
        """The images of `index`, in that order, without any split."""
        attributes = {name: values[index] for name, values in self.attributes.items()}
        images = self.images.select(index) if isinstance(self.images, MappedImages) else self.images[index]
        return replace(self, images=images, attributes=attributes, splits={})

    def split(self, name: str) -> ImageTable:
        """The images of one split."""
        return self.rows(self.splits[name])

    def product(self, names: tuple[str, ...]) -> tuple[Tensor, int]:
        """The group of every image when a group is a combination of the attributes `names`, and the number of groups.

        The last name varies fastest. No names give one group that holds all.
        """
        group = torch.zeros(len(self), dtype=torch.int64)
        count = 1
        for name in names:
            group = group * self.sizes[name] + self.attributes[name]
            count *= self.sizes[name]
        return group, count
