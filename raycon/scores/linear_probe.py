"""How well a linear classifier, trained on frozen embeddings, tells the labels apart."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.probe import ProbeCache


def linear_probe(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    probes: ProbeCache,
    *,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy and balanced accuracy of a multinomial logistic regression on standardised embeddings.

    The standard evaluation of representations; see `raycon.scores.probe.fit_probe` for the exact problem. Balanced
    accuracy is the mean of the recalls of the labels that occur in the split judged. Both lie in [0, 1]. Labels without
    a training image are never predicted and count as errors.
    """
    predicted = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2).predict(embeddings)
    right = (predicted == labels).double()
    present, index = torch.unique(labels, return_inverse=True)
    hits = torch.zeros(len(present), dtype=torch.float64, device=labels.device).index_add_(0, index, right)
    recalls = hits / torch.bincount(index)
    return {"accuracy": float(right.mean()), "balanced_accuracy": float(recalls.mean())}
