"""Small embedded splits with a known structure, for the tests of scores."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from raycon.metric_names import CORRUPTION_FAMILIES
from raycon.scores import Corrupted, Embedded, FineTuned, Transferred
from raycon.scores.probe import fit_probe


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


def further(train: Embedded, judged: Embedded) -> dict[str, object]:
    """What evaluation encodes beside the splits, for `train` and `judged` blobs: noisier copies, and other blobs."""
    random = torch.Generator().manual_seed(7)
    rows = torch.arange(0, len(judged), 2)

    def copies(values: torch.Tensor, noise: float) -> dict[tuple[str, int], torch.Tensor]:
        return {
            (family, severity): values[rows]
            + noise * severity * torch.randn(len(rows), values.shape[1], generator=random)
            for family in CORRUPTION_FAMILIES
            for severity in range(1, 6)
        }

    other, others = blobs(80, seed=11), blobs(60, seed=12)
    return {
        "corrupted": Corrupted(
            rows=rows,
            embeddings=copies(judged.embeddings, 0.3),
            pixels=copies(judged.features, 0.2),
            clean_pixels=judged.features[rows],
            train_rows=torch.arange(0, len(train), 3),
            train_pixels=train.features[::3],
        ),
        "outsiders": 3 + torch.randn(50, judged.embeddings.shape[1], generator=random),
        "transferred": Transferred(
            other.embeddings, other.attributes["coarse"], others.embeddings, others.attributes["coarse"]
        ),
        "fine_tuned": FineTuned(judged.labels.roll(1), fit_probe(train.embeddings[:40], train.labels[:40])),
    }
