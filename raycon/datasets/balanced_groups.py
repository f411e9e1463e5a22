"""Wrapper: cuts every group of the training images to the size of the smallest."""

from __future__ import annotations

import torch

from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed


def balanced_groups(table: ImageTable, groups: tuple[str, ...], *, seed: int) -> ImageTable:
    """`table` (the training split) with equally many images of every combination of `groups` that occurs in it.

    Images are drawn without replacement, by `seed` and the number of the group; the order of rows stays.
    Source: the subsampling of large groups in Idrissi et al. 2022, Simple data balancing (SUBG).
    Degenerate: a combination without images stays without; with one image in a group, each keeps one.
    """
    group, count = table.product(groups)
    sizes = torch.bincount(group, minlength=count)
    smallest = int(sizes[sizes > 0].min())
    kept = []
    for number in sizes.nonzero().flatten().tolist():
        rows = (group == number).nonzero().flatten()
        generator = torch.Generator().manual_seed(derive_seed(seed, number))
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:smallest]])
    return table.rows(torch.cat(kept).sort().values)
