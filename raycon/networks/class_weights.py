"""The weight vectors of the classes, where more than one part of a step uses them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.networks.auxiliary import Auxiliary, Shapes


class ClassWeights(Auxiliary):
    """-> classifier_weights [K, E], learned, drawn as random unit rows.

    `cosine_classifier` compares embeddings with them, `class_complement` makes prototypes of them: they stand apart
    from both, so that one set of weights gets the gradient of both.
    """

    provides = ("classifier_weights",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.rows = nn.Parameter(functional.normalize(torch.randn(shapes.classes, shapes.embedding), dim=1))

    def forward(self) -> dict[str, Tensor]:
        return {"classifier_weights": self.rows}
