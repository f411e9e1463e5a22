"""A classifier by cosines: neither the length of an embedding nor that of a class's weights counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import Positive
from raycon.networks.auxiliary import Auxiliary, Shapes


class CosineClassifier(Auxiliary):
    """embeddings [N, V, E], classifier_weights [K, E] -> logits [N, V, K].

    It has no weights of its own: those of `class_weights` serve all views, a second encoder's (`twin_`) included.
    `scale` multiplies the cosines; 30 in the public code of Zhu et al. 2022 (arXiv 2207.09052). Cosines are in full
    precision under mixed precision too, since `scale` would multiply their rounding.
    """

    provides = ("logits",)

    def __init__(self, shapes: Shapes, *, scale: Positive = 30.0):
        super().__init__()
        self.scale = scale

    def forward(self, embeddings: Tensor, classifier_weights: Tensor) -> dict[str, Tensor]:
        with torch.autocast(embeddings.device.type, enabled=False):
            return {"logits": cosine_logits(embeddings, classifier_weights, scale=self.scale)}


def cosine_logits(embeddings: Tensor, weights: Tensor, *, scale: float) -> Tensor:
    """scale * cos(embedding, weights): [..., E] and [K, E] -> [..., K]. A row of zeros gives logits of zero."""
    return scale * functional.linear(functional.normalize(embeddings, dim=-1), functional.normalize(weights, dim=-1))
