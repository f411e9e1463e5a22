"""Optimisers and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from raycon.config import Training

DECAY_SHARES = (0.7, 0.8, 0.9)
"""Where `epoch_steps` lowers the rate: the SupCon recipe's epochs 700, 800 and 900 of 1,000."""


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is scaled, per parameter, by the ratio of the weights' norm to the gradient's.

    Source: You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks", with the convention of
    SimCLR's and SupCon's large-batch recipes: vectors (biases, normalisation) are neither scaled nor decayed.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float, trust: float = 1e-3
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closures here
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, group)

    def _update(self, weights: Tensor, group: dict[str, float]) -> None:
        change = weights.grad
        assert change is not None
        if weights.dim() > 1:
            change = change.add(weights, alpha=group["weight_decay"])
            size, slope = weights.norm(), change.norm()
            # Where either norm is 0 the ratio says nothing: plain SGD. `where` avoids asking the device.
            ratio = torch.where((size > 0) & (slope > 0), group["trust"] * size / slope, 1.0)
            change = change * ratio
        state = self.state[weights]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weights)
        state["momentum_buffer"].mul_(group["momentum"]).add_(change)
        weights.sub_(state["momentum_buffer"], alpha=group["lr"])


def build_optimiser(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimiser that `training` names, over all parameters of a model that are trained by gradient."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if training.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=training.learning_rate, weight_decay=training.weight_decay)
    if training.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay
        )
    return LARS(parameters, training.learning_rate, training.momentum, training.weight_decay)


def supcontrast_rate(
    epoch: int,
    batch: int,
    *,
    batches: int,
    epochs: int,
    learning_rate: float,
    cosine: bool = True,
    decay_rate: float = 0.1,
    decay_epochs: tuple[float, ...] = (700, 800, 900),
    warm_epochs: int = 0,
    warm_from: float = 0.01,
) -> float:
    """The learning rate of batch `batch` (from 0) of `batches` in epoch `epoch` (from 1) of `epochs`.

    cosine: floor + (learning_rate - floor) (1 + cos(pi epoch / epochs)) / 2 with floor = learning_rate decay_rate^3;
    else learning_rate decay_rate^k, where k of `decay_epochs` lie below `epoch`. In the first `warm_epochs` it rises
    with the batches, on a line from `warm_from` to the cosine's value at the end of the warm-up, or to `learning_rate`.

    Source: the public code of SupCon (Khosla et al. 2020).
    """
    floor = learning_rate * decay_rate**3

    def on_cosine(at: int) -> float:
        return floor + (learning_rate - floor) * (1 + math.cos(math.pi * at / epochs)) / 2

    if epoch <= warm_epochs:
        share = (batch + (epoch - 1) * batches) / (warm_epochs * batches)
        warm_to = on_cosine(warm_epochs) if cosine else learning_rate
        return warm_from + share * (warm_to - warm_from)
    if cosine:
        return on_cosine(epoch)
    return learning_rate * decay_rate ** sum(epoch > limit for limit in decay_epochs)


def learning_rate_at(step: int, total: int, training: Training) -> float:
    """The learning rate of step `step` (from 0) of `total`.

    cosine: linear warm-up over the share `warmup`, then half a cosine to 0. one_cycle: half a cosine up from a 25th of
    the peak over the share `warmup`, then half a cosine down to almost 0 (as torch's OneCycleLR). constant: warm-up,
    then the peak. epoch_cosine, epoch_steps: `supcontrast_rate`, whose rate changes between epochs alone but for the
    warm-up; it decays by 0.1 (after 70, 80 and 90 % of the epochs), and warms up over the share `warmup` of the epochs,
    rounded, from a 50th of the peak (the authors' 0.01 at their rate of 0.5).
    """
    if training.schedule in ("epoch_cosine", "epoch_steps"):
        batches, epochs = total // training.epochs, training.epochs
        return supcontrast_rate(
            step // batches + 1,
            step % batches,
            batches=batches,
            epochs=epochs,
            learning_rate=training.learning_rate,
            cosine=training.schedule == "epoch_cosine",
            decay_epochs=tuple(share * epochs for share in DECAY_SHARES),
            warm_epochs=round(training.warmup * epochs),
            warm_from=training.learning_rate / 50,
        )
    peak, warm = training.learning_rate, training.warmup * total
    if step < warm:
        share = (step + 1) / (warm + 1)
        if training.schedule == "one_cycle":
            return peak / 25 + (peak - peak / 25) * (1 - math.cos(math.pi * share)) / 2
        return peak * share
    if training.schedule == "constant":
        return peak
    share = (step - warm) / max(total - warm, 1)
    return peak * (1 + math.cos(math.pi * share)) / 2
