"""A metric that is learned: how alike two views are, from the distances of their embeddings in every dimension."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raycon.networks.auxiliary import Auxiliary, Shapes


class SiameseMetric(Auxiliary):
    """embeddings, partner_embeddings [N, V, E] -> pair_logits [N, V(2V - 1)]: m(a, b) = w^T |a - b| + b0.

    The pairs in this order: two views of the image, two views of its partner, a view of each. Two views make six.
    Source: Mo, Sun and Li (Siamese Prototypical Contrastive Learning, arXiv 2208.08819), after the authors' public code
    (stoneMo/SPCL 357015d).
    """

    provides = ("pair_logits",)

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.layer = nn.Linear(shapes.embedding, 1)

    def forward(self, embeddings: Tensor, partner_embeddings: Tensor) -> dict[str, Tensor]:
        views = embeddings.shape[1]
        both = torch.cat([embeddings, partner_embeddings], dim=1)
        within = [(a, b) for side in (0, views) for a in range(side, side + views) for b in range(a + 1, side + views)]
        pairs = [*within, *((a, b) for a in range(views) for b in range(views, 2 * views))]
        differences = both[:, [a for a, _ in pairs]] - both[:, [b for _, b in pairs]]
        return {"pair_logits": self.layer(differences.abs()).squeeze(2)}
