"""Wrapper: adds the attribute `coarse`, the coarse class of every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from raycon.datasets.table import ImageTable


def coarse(table: ImageTable, classes: Sequence[int]) -> ImageTable:
    """`table` with the attribute `coarse`; `classes[k]` is the coarse class of class k (`catalogue.coarse_classes`).

    Whether it is what a method sees as `labels` is said by `data.labels`; `class` stays for coarse-to-fine scores.
    """
    if len(classes) != table.sizes["class"]:
        raise ValueError(f"the map holds {len(classes)} classes, the data set has {table.sizes['class']}")
    values = torch.tensor(classes, dtype=torch.int64)[table.attributes["class"]]
    attributes = {**table.attributes, "coarse": values}
    return replace(table, attributes=attributes, sizes={**table.sizes, "coarse": max(classes) + 1})
