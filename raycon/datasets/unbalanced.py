"""Wrapper: keeps a share of the training images of each subclass of a coarse class, which makes some of them rare."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raycon.datasets.coarse_maps import subclasses
from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed


def unbalanced(table: ImageTable, coarse: tuple[int, ...], shares: Sequence[float], *, seed: int) -> ImageTable:
    """`table` (the training split) where subclass k of each coarse class keeps `kept_counts` of its images.

    Subclasses are counted in the ascending order of their numbers. Images are drawn without replacement; which ones
    depends on `seed` and the class alone, and those of a smaller share lie in those of a larger one. The order of rows
    stays. Validation and test images are not thinned out.
    """
    labels = table.attributes["class"]
    kept = []
    for members in subclasses(coarse):
        rows = [(labels == member).nonzero().flatten() for member in members]
        counts = kept_counts([len(own) for own in rows], shares[: len(members)])
        for member, own, count in zip(members, rows, counts, strict=True):
            generator = torch.Generator().manual_seed(derive_seed(seed, member))
            kept.append(own[torch.randperm(len(own), generator=generator)[:count]])
    return table.rows(torch.cat(kept).sort().values)


def kept_counts(images: Sequence[int], shares: Sequence[float]) -> list[int]:
    """How many of the `images` of each subclass are kept: the share, rounded, but at least one where there is one."""
    return [min(count, max(round(count * share), 1)) for count, share in zip(images, shares, strict=True)]
