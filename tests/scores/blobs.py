"""Small embedded splits with a known structure, for the tests of scores."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from raycon.scores import Embedded


def blobs(rows: int = 240, *, seed: int = 0, noise: float = 1.0, dimensions: int = 6) -> Embedded:
    """Four classes around fixed centres, two coarse classes, and a colour that agrees with the class for most rows.

    The centres are the same for every seed, so that splits of different seeds come from one distribution.
    """
    centres = 1.5 * torch.randn(4, dimensions, generator=torch.Generator().manual_seed(99))
    random = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 4, (rows,), generator=random)
    colour = torch.where(
        torch.rand(rows, generator=random) < 0.7, classes, torch.randint(0, 4, (rows,), generator=random)
    )
    embeddings = centres[classes] + noise * torch.randn(rows, dimensions, generator=random)
    aligned = (colour == classes).long()
    return Embedded(
        embeddings=embeddings,
        features=normalize(embeddings[:, :4], dim=1),
        attributes={"class": classes, "coarse": classes // 2, "colour": colour, "aligned": aligned},
        sizes={"class": 4, "coarse": 2, "colour": 4, "aligned": 2},
        labels=classes,
        groups=classes * 2 + aligned,
        group_count=8,
    )
