"""Adapters of what is no loss: coarse maps, the counts of a biased training set, learning rates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raycon.datasets.biased import bias_counts
from raycon.datasets.coarse_maps import (
    CIFAR10_ANIMALS_VEHICLES,
    CIFAR100_SUPERCLASSES,
    CIFAR100_UNBALANCED_SHARES,
    MNIST_LOW_HIGH,
    TINY_IMAGENET_GROUPS,
    subclasses,
)
from raycon.datasets.unbalanced import kept_counts
from raycon.optimisers import supcontrast_rate
from tests.golden.vectors import Vector

CIFAR100_TRAIN_PER_CLASS = 500


def _coarse_maps(vector: Vector) -> Mapping[str, Tensor]:
    counts = kept_counts([CIFAR100_TRAIN_PER_CLASS] * len(CIFAR100_UNBALANCED_SHARES), CIFAR100_UNBALANCED_SHARES)
    return {
        "cifar10": torch.tensor(CIFAR10_ANIMALS_VEHICLES),
        "cifar100": torch.tensor(CIFAR100_SUPERCLASSES),
        "mnist": torch.tensor(MNIST_LOW_HIGH),
        "tinyimagenet": torch.tensor(TINY_IMAGENET_GROUPS),
        "cifar100_superclass_members": torch.tensor(subclasses(CIFAR100_SUPERCLASSES)),
        "cifar100_U_samples_per_subclass": torch.tensor(counts),
    }


def _biased_split(vector: Vector) -> Mapping[str, Tensor]:
    """The same counts for each of the stored labels; colours beyond those that confuse get none."""
    shape = vector.arrays["conflicting_sorted_desc"].shape
    counts = bias_counts(int(vector.number("n_per_class")), vector.number("rho"), int(vector.number("n_confusing")))
    aligned, conflicting = counts
    row = torch.zeros(shape[1], dtype=torch.int64)
    row[: len(conflicting)] = torch.tensor(conflicting, dtype=torch.int64)
    return {"aligned_per_class": torch.tensor(aligned).expand(shape[0]), "conflicting_sorted_desc": row.expand(shape)}


def _lr_supcon(vector: Vector) -> Mapping[str, Tensor]:
    epochs, batches = vector.arrays["lr"].shape
    rates = [
        supcontrast_rate(
            epoch,
            batch,
            batches=int(vector.number("batches_per_epoch")),
            epochs=int(vector.number("epochs")),
            learning_rate=vector.number("learning_rate"),
            cosine=vector.flag("cosine"),
            decay_rate=vector.number("lr_decay_rate"),
            decay_epochs=tuple(vector.arrays["lr_decay_epochs"].tolist()),
            warm_epochs=int(vector.number("warm_epochs")) if vector.flag("warm") else 0,
            warm_from=vector.number("warmup_from"),
        )
        for epoch in range(1, epochs + 1)
        for batch in range(batches)
    ]
    return {"lr": torch.tensor(rates, dtype=torch.float64).view(epochs, batches)}


ADAPTERS = {"coarse_maps": _coarse_maps, "biased_split": _biased_split, "lr_supcon": _lr_supcon}
