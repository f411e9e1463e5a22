"""A small batch of images for the tests of mixing."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.vocabulary import DRAWS


def batch(images: int = 12, views: int = 2, size: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """views, labels of three classes, bias labels of two, unit bias features and draws."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, views, 5, generator=generator, dtype=torch.float64)
    return {
        "views": torch.randn(images, views, 2, size, size, generator=generator, dtype=torch.float64),
        "labels": torch.randint(3, (images,), generator=generator),
        "bias_labels": torch.randint(2, (images,), generator=generator),
        "bias_features": torch.nn.functional.normalize(features, dim=-1),
        "draws": torch.rand(images, DRAWS, generator=generator, dtype=torch.float64),
    }
