"""Wrapper: a few labels with many training images, many with few."""

from __future__ import annotations

from typing import Literal

import torch

from raycon.config import LongTail
from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed


def thinned(table: ImageTable, long_tail: LongTail, *, labels: str, seed: int) -> ImageTable:
    """`table` (the training images) with `long_tail_counts` images of each value of the attribute `labels`, but at
    least one, in the old order.

    The largest count is that of the value with the fewest images, so that every value can meet its own. Which images
    stay depends on `seed` and the value alone: what a stronger imbalance keeps, a weaker one keeps too.
    """
    values, classes = table.attributes[labels], table.sizes[labels]
    most = int(torch.bincount(values, minlength=classes).min())
    counts = long_tail_counts(classes, most, 1 / long_tail.imbalance, long_tail.kind)
    kept = []
    for value, count in enumerate(counts):
        rows = (values == value).nonzero().flatten()
        generator = torch.Generator().manual_seed(derive_seed(seed, value))
        kept.append(rows[torch.randperm(len(rows), generator=generator)[: max(count, 1)]])
    return table.rows(torch.cat(kept).sort().values)


def long_tail_counts(classes: int, most: int, share: float, kind: Literal["exponential", "step"]) -> list[int]:
    """How many images each class keeps; `share` is the inverse of the imbalance, below 1.

    exponential: int(most * share^(k / (classes - 1))) for class k. step: `most` for the first half of the classes,
    int(most * share) for the others (of an odd number, the middle one too). Source: the long-tailed CIFAR of the public
    code of Zhu et al. 2022 (arXiv 2207.09052), whose classes keep their order.
    """
    if kind == "step":
        return [most if k < classes // 2 else int(most * share) for k in range(classes)]
    return [int(most * share ** (k / max(classes - 1, 1))) for k in range(classes)]
