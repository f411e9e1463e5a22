"""A predictor: the small network between the online features and what a momentum network or a queue says."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from raycon.knobs import Count
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.batch_norm import GlobalBatchNorm


class Predictor(Auxiliary):
    """features [N, V, D] -> predictions [N, V, D], rows of unit length: Linear, batch normalisation, ReLU, Linear.

    The batch normalisation is over all views of all images of all workers. `hidden`: the width between; the papers'
    predictors are 4096 wide for ImageNet.
    """

    provides = ("predictions",)

    def __init__(self, shapes: Shapes, *, hidden: Count = 256):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(shapes.projection, hidden, bias=False),
            GlobalBatchNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, shapes.projection),
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        predicted = self.layers(features.flatten(0, 1)).to(features.dtype)
        return {"predictions": functional.normalize(predicted, dim=1).view_as(features)}
