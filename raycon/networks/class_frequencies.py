"""How frequent each class is among the training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes


class ClassFrequencies(Auxiliary):
    """-> class_frequencies [K], sum 1: the share of each label among the training images, counted before training.

    Before that, and without training images, all classes are equally frequent.
    """

    provides = ("class_frequencies",)

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.shares: Tensor
        self.register_buffer("shares", torch.full((shapes.classes,), 1 / shapes.classes))

    @torch.no_grad()
    def prepare(self, preparation: Preparation) -> None:
        labels = preparation.table.attributes[preparation.trial.data.labels]
        counts = torch.bincount(labels, minlength=len(self.shares))
        self.shares.copy_(counts.double() / counts.sum())

    def forward(self) -> dict[str, Tensor]:
        return {"class_frequencies": self.shares}
