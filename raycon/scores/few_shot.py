"""How few labelled images a frozen encoder needs: accuracy from 1, 5 and 10 training images a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from scipy import special
from torch import Tensor

from raycon.knobs import Count, Positive
from raycon.scores.probe import fit_probe
from raycon.scores.shots import nearest_to_means
from raycon.seeding import derive_seed

IMAGES = (1, 5, 10)


def few_shot(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    *,
    classifier: Literal["class_means", "probe"] = "class_means",
    episodes: Count = 50,
    l2: Positive = 0.01,
) -> dict[str, float]:
    """Accuracy on all images judged, from k = 1, 5 and 10 training images of every class; the mean over episodes.

    `accuracy_k`: an episode draws k training images of each class without replacement (the same draws for every
    encoder), fits a classifier to these, and predicts the class of every image judged. `half_width_k`: half the 95 %
    interval of that mean, Student's t over the episodes; it is over draws of the few images, not over training runs,
    and is left out with one episode.

    classifier: `class_means` takes the class whose mean of unit embeddings has the largest cosine (Snell et al. 2017,
    arXiv 1703.05175, here with cosines); `probe` is the logistic regression of `linear_probe` with the strength `l2`,
    at most 50 steps. episodes: 10 to 200; an episode of `probe` costs about ten of `class_means`.

    Degenerate: a class with fewer than k training images leaves `accuracy_k` out, rather than judge it on fewer. Labels
    without any training image are never predicted and count as errors.
    """
    found: dict[str, float] = {}
    units = torch.nn.functional.normalize(embeddings.double(), dim=1)
    scarcest = int(torch.unique(train_labels, return_counts=True)[1].min())
    for count in IMAGES:
        if count > scarcest:
            continue
        accuracies = []
        for episode in range(episodes):
            rows = episode_rows(train_labels, count, episode)
            inputs, targets = train_embeddings[rows], train_labels[rows]
            if classifier == "class_means":
                predicted = nearest_to_means(inputs, targets, units)
            else:
                predicted = fit_probe(inputs, targets, iterations=50, l2=l2).predict(embeddings)
            accuracies.append(float((predicted == labels).double().mean()))
        found[f"accuracy_{count}"] = math.fsum(accuracies) / len(accuracies)
        if episodes > 1:
            found[f"half_width_{count}"] = half_width(accuracies)
    return found


def episode_rows(labels: Tensor, count: int, episode: int) -> Tensor:
    """`count` different rows of every label, int64 [K * count], labels in rising order; drawn by `episode` alone.

    Every label must have as many rows.
    """
    generator = torch.Generator().manual_seed(derive_seed(0, "few_shot", count, episode))
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    sizes = torch.bincount(labels)
    present = sizes.nonzero().flatten()
    # The first `count` rows of every label stand near the front of a random order: mostly a part of it is enough.
    ahead = 4 * count * len(present)
    while ahead < len(order):
        drawn = torch.bincount(labels[order[:ahead]], minlength=len(sizes))
        if int(drawn[present].min()) >= count:
            break
        ahead *= 4
    sorted_labels, places = labels[order[:ahead]].sort(stable=True)
    starts = torch.searchsorted(sorted_labels, present)
    return order[places[(starts[:, None] + torch.arange(count, device=labels.device)).flatten()]]


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of at least two values, by Student's t."""
    spread = float(torch.tensor(values, dtype=torch.float64).std())
    return float(special.stdtrit(len(values) - 1, 0.975)) * spread / math.sqrt(len(values))
