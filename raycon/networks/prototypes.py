"""A learned prototype for each class, in the space of the features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.networks.auxiliary import Auxiliary, Shapes


class Prototypes(Auxiliary):
    """-> prototypes [K, D], unit rows, learned by the terms that look at them. They are drawn at random."""

    provides = ("prototypes",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.rows = nn.Parameter(functional.normalize(torch.randn(shapes.classes, shapes.projection), dim=1))

    def forward(self) -> dict[str, Tensor]:
        return {"prototypes": functional.normalize(self.rows, dim=1)}
