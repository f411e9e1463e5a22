"""The linear evaluation as papers run it: stochastic gradient descent, here on cached embeddings."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Count, Fraction, NonNegative, Positive
from raycon.scores.probe import Probe, standardised
from raycon.seeding import derive_seed


def sgd_probe(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    *,
    epochs: Count = 20,
    batch_size: Count = 128,
    learning_rate: Positive = 0.1,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    inputs: Literal["standardised", "unit"] = "standardised",
) -> dict[str, float]:
    """Accuracy of a linear classifier after `epochs` of SGD with momentum and a cosine schedule to 0.

    What papers do, up to one thing: embeddings are cached, so training images are seen without augmentation. The
    weights after the last epoch count; none is chosen by its score. `linear_probe` reaches the optimum without a
    learning rate; a large difference between the two says that this one has not converged, or that l2 matters.

    epochs: 5 to 100. inputs: standardised columns, or
    rows scaled to length 1, which need a larger learning rate. The order of the images depends on their number
    and on the epoch alone. Labels without a training image are never predicted and count as errors.
    """
    probe = fit_by_sgd(
        train_embeddings, train_labels, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        momentum=momentum, weight_decay=weight_decay, unit=inputs == "unit",
    )  # fmt: skip
    judged = torch.nn.functional.normalize(embeddings, dim=1) if inputs == "unit" else embeddings
    return {"accuracy": float((probe.predict(judged) == labels).double().mean())}


@torch.no_grad()
def fit_by_sgd(
    embeddings: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    unit: bool,
) -> Probe:
    """A probe from zero: v <- momentum v + gradient + weight_decay w, w <- w - rate_t v, as torch.optim.SGD.

    rate_t = learning_rate (1 + cos(pi t / T)) / 2 for step t of T. Bias and weights alike; mean cross-entropy of the
    batch; the last batch of an epoch may be smaller.
    """
    mean, scale, rows = standardised(embeddings)
    if unit:
        mean, scale = torch.zeros_like(mean), torch.ones_like(scale)
        rows = torch.nn.functional.normalize(embeddings.float(), dim=1)
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
    classes, targets = torch.unique(labels, return_inverse=True)
    weights = rows.new_zeros(rows.shape[1], len(classes))
    velocity = torch.zeros_like(weights)
    steps, step = epochs * math.ceil(len(rows) / batch_size), 0
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(derive_seed(0, "sgd_probe", epoch))
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        for batch in torch.split(order, batch_size):
            x = rows[batch]
            residuals = torch.softmax(x @ weights, dim=1)
            residuals[torch.arange(len(batch), device=rows.device), targets[batch]] -= 1
            velocity.mul_(momentum).addmm_(x.T, residuals, alpha=1 / len(batch)).add_(weights, alpha=weight_decay)
            rate = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            weights.sub_(velocity, alpha=rate)
            step += 1
    return Probe(mean, scale, weights[:-1], weights[-1], classes, math.nan, steps)
