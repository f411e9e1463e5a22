"""The digits that ship with scikit-learn: real images without a download."""

from __future__ import annotations

import numpy as np
import torch

from raycon.datasets.catalogue import DIGITS
from raycon.datasets.splits import stratified_sample
from raycon.datasets.table import ImageTable

HOLDOUT_SEED = 20
HOLDOUT_SHARE = 0.25


def digits() -> ImageTable:
    """All 1,797 digits, uint8 [1797, 1, 8, 8].

    Grey values 0 to 16 are spread over 0 to 255. The set has no official test part, so a quarter (449 images) is held
    out once and for all, stratified by class, drawn with the constant `HOLDOUT_SEED`: it is the same in every
    configuration, whatever the split seed. The writers of an image are not known, so a writer may stand in both parts.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)
    labels = torch.from_numpy(source.target.astype(np.int64))
    rows = torch.arange(len(labels))
    test = stratified_sample(rows, labels, round(len(labels) * HOLDOUT_SHARE), seed=HOLDOUT_SEED)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[test] = True
    return ImageTable(
        images=torch.from_numpy(images).unsqueeze(1),
        attributes={"class": labels},
        sizes={"class": 10},
        splits={"train": rows[~held_out], "test": rows[held_out]},
        mean=DIGITS.mean,
        std=DIGITS.std,
    )
