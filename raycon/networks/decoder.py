"""The decoder half of the class-conditional autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.knobs import Count
from raycon.networks.auxiliary import Auxiliary, Shapes


class Decoder(Auxiliary):
    """Embeddings -> the augmented, normalised view that they came from.

    embeddings [N, V, E], labels [N] -> reconstruction [N, V, C, H, W], by Linear, ReLU, Linear.

    `conditional` appends the one-hot label to the embedding. It is off by default, as in the public code of Perfectly
    Balanced (HazyResearch/thanos-code b4f704e), where the autoencoder is class-conditional only in that the same
    encoder is trained on the labels.
    """

    provides = ("reconstruction",)

    def __init__(self, shapes: Shapes, *, hidden: Count = 256, conditional: bool = False):
        super().__init__()
        self.shape = (shapes.channels, shapes.size, shapes.size)
        self.classes = shapes.classes if conditional else 0
        pixels = shapes.channels * shapes.size * shapes.size
        self.layers = nn.Sequential(
            nn.Linear(shapes.embedding + self.classes, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def forward(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.classes:
            one_hot = functional.one_hot(labels, self.classes).to(embeddings.dtype)
            embeddings = torch.cat([embeddings, one_hot[:, None].expand(-1, embeddings.shape[1], -1)], dim=2)
        return {"reconstruction": self.layers(embeddings).unflatten(2, self.shape)}
