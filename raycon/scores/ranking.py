"""How well one number ranks two kinds of images: the area under the curve, and false alarms at a fixed recall."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """The share of pairs in which the positive has the higher value, ties counting half. [p], [q], both not empty.

    The area under the ROC curve, equal to the Mann-Whitney U statistic over p q; O((p + q) log q).
    """
    ranked = negative.double().sort().values
    below = torch.searchsorted(ranked, positive.double())
    upto = torch.searchsorted(ranked, positive.double(), right=True)
    return float((below + upto).sum()) / (2 * len(positive) * len(negative))


def false_alarms_at(positive: Tensor, negative: Tensor, recall: float = 0.95) -> float:
    """The share of negatives at or above the largest threshold that at least `recall` of the positives reach."""
    ranked = positive.double().sort(descending=True).values
    needed = max(1, math.ceil(recall * len(ranked) - 1e-9))  # less rounding: 0.95 of 20 is 19, not 20
    return float((negative.double() >= ranked[needed - 1]).double().mean())
