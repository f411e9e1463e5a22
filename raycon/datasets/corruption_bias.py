"""Wrapper: binds a kind of damage to the label, so that an easy cue competes with what is shown."""

from __future__ import annotations

from dataclasses import replace

import torch

from raycon.config import Bias
from raycon.datasets.biased import bound_cues, uniform_cues
from raycon.datasets.corruption_names import CUES, UNTOUCHED
from raycon.datasets.corruptions import corrupted
from raycon.datasets.table import ImageTable
from raycon.seeding import derive_seed


def corruption_biased(table: ImageTable, bias: Bias, *, labels: str, seed: int, bound: bool) -> ImageTable:
    """`table` (one split, any number of channels) with every image corrupted, and the attributes `corruption` and
    `aligned`.

    Corruption k belongs to value k of the attribute `labels`: the k-th of `bias.families` (of CUES where there are
    none), at `bias.severity`; `none` leaves images as they are. With `bound` (training) each value has `bias_counts`
    images with its own corruption and with the others; without (validation, test) every corruption is equally frequent
    within each value, up to one image. `aligned` is 1 where the corruption is the label's own. Draws depend on `seed`
    and the place in the table. The result is in memory, even where `table` is not.

    The rule is that of Corrupted CIFAR-10 (Nam et al. 2020, arXiv 2007.02561), the corruptions are raycon's own
    (`raycon.datasets.corruptions`): accuracies are not those of the published set.
    """
    families = (bias.families or CUES)[: table.sizes[labels]]
    values, count = table.attributes[labels], table.sizes[labels]
    if bound:
        cues = bound_cues(values, count, rate=bias.rate, seed=seed, name="corruption")
    else:
        cues = uniform_cues(values, count, seed=seed, name="corruption")
    images = table.images[:].clone()
    for cue, family in enumerate(families):
        rows = (cues == cue).nonzero().flatten()
        if family != UNTOUCHED and len(rows):
            made = corrupted(table.rows(rows), family, bias.severity, seed=derive_seed(seed, "damage"))
            images[rows] = made.images[:]
    attributes = {**table.attributes, "corruption": cues, "aligned": (cues == values).to(torch.int64)}
    return replace(
        table,
        images=images,
        attributes=attributes,
        sizes={**table.sizes, "corruption": count, "aligned": 2},
    )
