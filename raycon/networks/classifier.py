"""A linear classifier on the embeddings, for cross-entropy beside or instead of a contrastive term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raycon.networks.auxiliary import Auxiliary, Shapes


class Classifier(Auxiliary):
    """embeddings [N, V, E] -> logits [N, V, K], one linear layer.

    `detach` keeps the classifier's gradient out of the encoder: it then only reads the features.
    """

    provides = ("logits",)

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return bool(knobs["detach"])

    def __init__(self, shapes: Shapes, *, detach: bool = False):
        super().__init__()
        self.detach = detach
        self.layer = nn.Linear(shapes.embedding, shapes.classes)

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(embeddings.detach() if self.detach else embeddings)}
