"""Whether training on coarse labels kept the fine classes apart."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.probe import ProbeCache


def coarse_to_fine(
    train_embeddings: Tensor,
    train_classes: Tensor,
    train_coarse: Tensor,
    embeddings: Tensor,
    classes: Tensor,
    coarse: Tensor,
    probes: ProbeCache,
    *,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy of a linear probe on the fine classes, and of the coarse classes that its predictions imply.

    Coarse-to-fine transfer as in Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596): the encoder may have seen the
    coarse labels alone, the probe is trained on the fine ones. `coarse_accuracy` maps each predicted fine class to its
    coarse class, so it is never below `accuracy`; a probe trained on the coarse labels themselves is `linear_probe`
    with `data.labels: coarse`. Both lie in [0, 1]. Fine classes without a training image are never predicted.

    Raises ValueError where images of one class have several coarse classes.
    """
    predicted = probes.fit(train_embeddings, train_classes, iterations=iterations, l2=l2).predict(embeddings)
    coarse_of = torch.zeros(int(train_classes.max()) + 1, dtype=torch.int64, device=classes.device)
    coarse_of[train_classes] = train_coarse
    if not torch.equal(coarse_of[train_classes], train_coarse):
        raise ValueError("the coarse classes are no function of the classes: images of one class have several")
    return {
        "accuracy": float((predicted == classes).double().mean()),
        "coarse_accuracy": float((coarse_of[predicted] == coarse).double().mean()),
    }
