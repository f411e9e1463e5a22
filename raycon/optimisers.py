"""Optimisers and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from raycon.config import Training


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


def learning_rate_at(step: int, total: int, training: Training) -> float:
    """The learning rate of step `step` (from 0) of `total`.

    cosine: linear warm-up over the share `warmup`, then half a cosine to 0. one_cycle: half a cosine up from a 25th of
    the peak over the share `warmup`, then half a cosine down to almost 0 (as torch's OneCycleLR). constant: warm-up,
    then the peak.
    """
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
