"""Wrapper: gives a share of the training images another label."""

from __future__ import annotations

from dataclasses import replace

import torch

from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed


def noisy_labels(table: ImageTable, share: float, *, labels: str, seed: int) -> ImageTable:
    """`table` where round(share n) images, drawn by `seed`, have another value of the attribute `labels`.

    The new value is uniform over the others (symmetric noise). The attribute `noisy` is 1 for these images, and 0 for
    the rest; a table with `share` 0, as validation and test are, has it too. Other attributes stay: with noise in
    `coarse`, `class` remains true.
    """
    count, values = round(share * len(table)), table.attributes[labels].clone()
    generator = torch.Generator().manual_seed(derive_seed(seed, "label noise"))
    chosen = torch.randperm(len(table), generator=generator)[:count]
    # From 1 to the number of values minus 1 steps further round the circle: every other value, and never the own.
    steps = torch.randint(1, table.sizes[labels], (count,), generator=generator)
    values[chosen] = (values[chosen] + steps) % table.sizes[labels]
    noisy = torch.zeros(len(table), dtype=torch.int64)
    noisy[chosen] = 1
    attributes = {**table.attributes, labels: values, "noisy": noisy}
    return replace(table, attributes=attributes, sizes={**table.sizes, "noisy": 2})
