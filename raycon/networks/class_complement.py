"""Prototypes that are made from the classifier's weights, so that every class is there in every batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.networks.auxiliary import Auxiliary, Shapes


class ClassComplement(Auxiliary):
    """classifier_weights [K, E] -> prototypes [K, D], unit rows, by Linear, BatchNorm, ReLU, Linear.

    The class-complement branch of Zhu et al. 2022 (arXiv 2207.09052). Batch normalisation runs over the K classes,
    which every worker holds, and keeps no running statistics: the prototypes serve training alone. The gradient flows
    into the weights, which are not normalised before.
    """

    provides = ("prototypes",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        width = shapes.embedding
        self.layers = nn.Sequential(
            nn.Linear(width, width),
            nn.BatchNorm1d(width, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(width, shapes.projection),
        )

    def forward(self, classifier_weights: Tensor) -> dict[str, Tensor]:
        with torch.autocast(classifier_weights.device.type, enabled=False):
            return {"prototypes": functional.normalize(self.layers(classifier_weights), dim=1)}
