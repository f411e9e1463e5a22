"""Nearest neighbours of features among earlier features (the support set of NNCLR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raycon.knobs import Count, Whole
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.queue import Ring


class SupportQueue(Auxiliary):
    """features [N, V, D] -> neighbour_features [N, V, D]: for each row the row of the queue with the largest product.

    After the step the batch's own features, of the first `views` views (0: all), take the place of the oldest rows of
    the queue, which has `size`. Random unit rows at the start, drawn from the init seed. No gradient passes.
    Source: Dwibedi et al. 2021 (NNCLR, arXiv 2104.14548).
    """

    provides = ("neighbour_features",)

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(self, shapes: Shapes, *, size: Count = 4096, views: Whole = 1):
        super().__init__()
        self.views = views
        self.ring = Ring(size, shapes.projection)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            rows = self.ring.rows.to(features.dtype)
            nearest = (features @ rows.T).argmax(dim=2)
            return {"neighbour_features": rows[nearest]}

    def after_step(self, encoder: nn.Module, head: nn.Module, step: Mapping[str, Tensor]) -> None:
        self.ring.write(step["features"], self.views)
