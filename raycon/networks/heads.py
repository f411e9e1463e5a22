"""The projection head: embeddings [n, E] -> the vector whose direction the contrastive terms see."""

from __future__ import annotations

from torch import nn


def build_projection(width: int, widths: tuple[int, ...]) -> tuple[nn.Module, int]:
    """Linear layers of `widths` with ReLU between, and the width of the last. No widths: the identity."""
    layers: list[nn.Module] = []
    for number, outside in enumerate(widths):
        if number:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(width, outside))
        width = outside
    return nn.Sequential(*layers), width
