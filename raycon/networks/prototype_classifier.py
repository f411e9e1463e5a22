"""A linear classifier of the prototypes that the last clustering found."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raycon.errors import InvalidFile
from raycon.knobs import Count
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes
from raycon.networks.image_prototypes import PROTOTYPES

SPREAD = 0.01
"""Standard deviation of the first weights, the authors'."""


class PrototypeClassifier(Auxiliary):
    """embeddings [N, V, E] -> prototype_logits [N, V, P], one linear layer; the same one for the partner's.

    Prototypes have new numbers after every clustering, so by default the layer is drawn anew before every epoch
    (`reinitialise`), as in the authors' public code (stoneMo/SPCL 357015d), where it also has an optimiser of its own.
    Here it shares the encoder's, whose moving averages outlive the redrawing.
    Source: Mo, Sun and Li (Siamese Prototypical Contrastive Learning, arXiv 2208.08819).

    Knobs: prototypes, at least those of `networks.image_prototypes`; reinitialise, off to keep the weights.
    Raises InvalidFile when there are fewer outputs than prototypes.
    """

    provides = ("prototype_logits",)

    def __init__(self, shapes: Shapes, *, prototypes: Count = PROTOTYPES, reinitialise: bool = True):
        super().__init__()
        self.reinitialise = reinitialise
        self.layer = nn.Linear(shapes.embedding, prototypes)
        nn.init.normal_(self.layer.weight, std=SPREAD)
        nn.init.zeros_(self.layer.bias)

    @torch.no_grad()
    def prepare(self, preparation: Preparation) -> None:
        clustered = preparation.trial.networks.get("image_prototypes", {}).get("prototypes", PROTOTYPES)
        if clustered > self.layer.out_features:
            reason = f"{self.layer.out_features} is less than the {clustered} of networks.image_prototypes"
            raise InvalidFile(reason, field="networks.prototype_classifier.prototypes")
        if self.reinitialise and not preparation.resumed:
            generator = torch.Generator().manual_seed(preparation.seed)
            self.layer.weight.copy_(torch.randn(self.layer.weight.shape, generator=generator) * SPREAD)
            self.layer.bias.zero_()

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        return {"prototype_logits": self.layer(embeddings)}
