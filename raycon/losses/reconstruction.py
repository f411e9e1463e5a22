"""Reconstruction error of the class-conditional autoencoder."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def reconstruction(reconstruction: Tensor, views: Tensor) -> Tensor:
    """Mean squared error over all pixels, channels, views and images, against the same augmented, normalised views.

    Source: Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596), the class-conditional autoencoder, which is
    conditioned on the class only through the other terms of the objective: the decoder sees no label.

    Args:
        reconstruction: [N, V, C, H, W], the decoder's images.
        views: [N, V, C, H, W], the encoder's input.

    Degenerate: none; one image is enough. Raises ValueError when the shapes differ or are empty. Equal images: 0.

    >>> import torch
    >>> reconstruction(torch.zeros(2, 1, 1, 2, 2), torch.full((2, 1, 1, 2, 2), 3.0)).item()
    9.0
    """
    if reconstruction.shape != views.shape or views.numel() == 0:
        raise ValueError(f"reconstruction {list(reconstruction.shape)} is not of the views' shape {list(views.shape)}")
    return functional.mse_loss(reconstruction, views.to(reconstruction.dtype))
