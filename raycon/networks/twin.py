"""A second backbone on the same views: Thanos trains one for the spread loss and one for the autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from raycon.networks.auxiliary import Auxiliary, Shapes


class Twin(Auxiliary):
    """views [N, V, C, H, W] -> twin_embeddings [N, V, E], by an encoder of the same configuration, drawn by itself.

    It learns from the terms that ask for `twin_` tensors alone, and the first encoder does not hear of them. When the
    frozen encoder is judged its embeddings stand beside the first one's, [n, 2E].
    Source: Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596), after the authors' public code
    (HazyResearch/thanos-code b4f704e): spread loss and cross entropy on one backbone, autoencoder and cross entropy on
    the other, their outputs concatenated for the linear probe.
    """

    provides = ("twin_embeddings",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.encoder = shapes.fresh()[0]

    def forward(self, views: Tensor) -> dict[str, Tensor]:
        return {"twin_embeddings": self._embed(views.flatten(0, 1)).view(*views.shape[:2], -1)}

    def further_embeddings(self, images: Tensor) -> Tensor | None:
        return self._embed(images)

    def _embed(self, images: Tensor) -> Tensor:
        rows: Tensor = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return rows


class TwinHead(Auxiliary):
    """twin_embeddings [N, V, E] -> twin_features [N, V, D] of unit length, by a projection head of the second backbone.

    A network of its own, so that it is built only where something asks for features: an unused head would have no
    gradient, which several workers would wait for.
    """

    provides = ("twin_features",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.head = shapes.fresh()[1]

    def forward(self, twin_embeddings: Tensor) -> dict[str, Tensor]:
        projected = self.head(twin_embeddings).to(twin_embeddings.dtype)
        return {"twin_features": functional.normalize(projected, dim=2)}
