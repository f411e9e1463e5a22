"""A second encoder that is drawn to whatever is easiest to tell apart: the auxiliary model of SelecMix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from raycon.collectives import gather_alike
from raycon.knobs import Count, Fraction, Positive
from raycon.losses.generalised_supcon import generalised_supcon
from raycon.networks.auxiliary import Auxiliary, Shapes


class BiasModel(Auxiliary):
    """views [N, V, C, H, W] -> bias_features [N, V, D'], unit rows, without gradient.

    An encoder of the trial's own kind and a head of Linear, ReLU, Linear to `width` numbers, trained beside the encoder
    by `generalised_supcon` on the batch of all workers. What it provides carries no gradient, so that no term of the
    objective changes it. Batch normalisation uses the statistics of the batch, as in the authors' code.
    Source: Hwang et al. 2022 (SelecMix, arXiv 2211.02291). Differences: one optimiser and learning rate for all
    networks of a trial, where the authors give this one its own.

    width: authors 128. temperature: authors 0.2. amplification: authors 0.7; 0 is plain SupCon.
    """

    provides = ("bias_features",)
    has_own_head = True

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(
        self, shapes: Shapes, *, width: Count = 128, temperature: Positive = 0.2, amplification: Fraction = 0.7
    ):
        super().__init__()
        self.temperature, self.amplification = temperature, amplification
        self.encoder, _ = shapes.fresh()
        self.head = nn.Sequential(
            nn.Linear(shapes.embedding, shapes.embedding), nn.ReLU(), nn.Linear(shapes.embedding, width)
        )
        self.live: Tensor | None = None

    def forward(self, views: Tensor) -> dict[str, Tensor]:
        images, count = views.shape[:2]
        projected = self.head(self.encoder(views.flatten(0, 1)))
        wide = projected if projected.dtype == views.dtype else projected.to(views.dtype)
        self.live = functional.normalize(wide, dim=1).view(images, count, -1)
        return {"bias_features": self.live.detach()}

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor:
        features, self.live = self.live, None
        if features is None:
            raise RuntimeError("its features were not computed in this step")
        features, labels = gather_alike([features, step["labels"]])
        return generalised_supcon(features, labels, temperature=self.temperature, amplification=self.amplification)
