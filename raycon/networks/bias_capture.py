"""A classifier that sees small patches alone: what it learns of the label is texture and colour, hardly shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from raycon.knobs import Count, Positive
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.chunked import SequentialInChunks

LAYERS = 3


class BiasCapture(Auxiliary):
    """views [N, V, C, H, W] -> bias_features [N, V, D'], unit rows, without gradient.

    Three convolutions with batch normalisation and ReLU, the first `spatial` of them 3x3 and the others 1x1, the mean
    over positions, and a linear layer: a feature is a mean over patches of 1 + 2 * spatial pixels, so that it can tell
    colours and textures and hardly shapes. Trained beside the encoder by cross-entropy of a linear layer without offset
    on the unit features, divided by `temperature`: images that it cannot tell apart point the same way.
    Source: a BagNet (Brendel and Bethge 2019, arXiv 1904.00760) in small; that such a network captures the bias is said
    in Barbano et al. 2023 (arXiv 2211.05568). Architecture and sizes are our own definition.

    width: channels of the first convolution; the others have twice as many, as have the features. spatial: 0 to 3;
    0 sees single pixels. temperature: about 0.05 to 0.2.
    """

    provides = ("bias_features",)
    has_own_head = True

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Count = 16,
        spatial: Annotated[int, Ge(0), Le(LAYERS)] = 1,
        temperature: Positive = 0.1,
    ):
        super().__init__()
        self.temperature = temperature
        blocks: list[nn.Module] = []
        widths = (shapes.channels, width, 2 * width, 2 * width)
        for layer in range(LAYERS):
            kernel = 3 if layer < spatial else 1
            convolution = nn.Conv2d(widths[layer], widths[layer + 1], kernel, 1, kernel // 2, bias=False)
            blocks += [convolution, GlobalBatchNorm(widths[layer + 1]), nn.ReLU()]
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 2 * width))
        self.body = SequentialInChunks(*blocks, *pooled)
        self.classifier = nn.Linear(2 * width, shapes.classes, bias=False)
        self.live: Tensor | None = None

    def forward(self, views: Tensor) -> dict[str, Tensor]:
        images, count = views.shape[:2]
        found = self.body(views.flatten(0, 1)).to(views.dtype)
        self.live = functional.normalize(found, dim=1).view(images, count, -1)
        return {"bias_features": self.live.detach()}

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor:
        features, self.live = self.live, None
        if features is None:
            raise RuntimeError("its features were not computed in this step")
        logits = self.classifier(features / self.temperature)
        return functional.cross_entropy(logits.flatten(0, 1), step["labels"].repeat_interleave(features.shape[1]))
