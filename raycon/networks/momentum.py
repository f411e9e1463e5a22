"""A momentum network: encoder and head that follow the trained ones as a moving average."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.knobs import Fraction, Whole
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes


class Momentum(Auxiliary):
    """views [N, V, C, H, W] -> momentum_features [N, M, D] of the first M = `views` views (0: all), without gradient.

    After every optimiser step each parameter becomes m * itself + (1 - m) * the trained one. Only parameters are
    averaged: the statistics of its batch normalisation are those of its own passes. It starts as a copy.

    decay: m; 0.99 for short runs, 0.996 and above for long ones. schedule: `constant`, or `cosine`, in which m rises to
    1 over the run: 1 - (1 - decay) (1 + cos(pi t / T)) / 2 after t of T steps.
    views: 2 with local crops behind them; 1 where view 0 alone is a target. A term's own `views` then count among
    these as well.
    Source: He et al. 2020 (MoCo, arXiv 1911.05722); the schedule: Grill et al. 2020 (BYOL, arXiv 2006.07733).
    """

    provides = ("momentum_features",)
    steps: Tensor

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(
        self,
        shapes: Shapes,
        *,
        decay: Fraction = 0.99,
        schedule: Literal["constant", "cosine"] = "constant",
        views: Whole = 0,
    ):
        super().__init__()
        self.decay, self.schedule, self.views = decay, schedule, views
        # Not by copy.deepcopy: it looks for the memory of each tensor, and fake tensors have none.
        self.encoder, self.head = (network.requires_grad_(False) for network in shapes.fresh())
        self.encoder.load_state_dict(shapes.encoder.state_dict())
        self.head.load_state_dict(shapes.head.state_dict())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.total = 1
        self.layout = torch.contiguous_format

    def prepare(self, preparation: Preparation) -> None:
        training = preparation.trial.training
        self.total = training.epochs * (len(preparation.table) // training.batch_size)
        self.layout = torch.channels_last if training.channels_last else torch.contiguous_format
        self.encoder.to(memory_format=self.layout)

    @torch.no_grad()
    def forward(self, views: Tensor) -> dict[str, Tensor]:
        chosen = views[:, : self.views or None]
        images = chosen.flatten(0, 1).contiguous(memory_format=self.layout)
        features = functional.normalize(self.head(self.encoder(images)).to(views.dtype), dim=1)
        return {"momentum_features": features.view(*chosen.shape[:2], -1)}

    @torch.no_grad()
    def after_step(self, encoder: nn.Module, head: nn.Module, step: Mapping[str, Tensor]) -> None:
        trained = itertools.chain(encoder.parameters(), head.parameters())
        followers = itertools.chain(self.encoder.parameters(), self.head.parameters())
        distance = 1 - self.rate()
        for follower, parameter in zip(followers, trained, strict=True):
            follower.lerp_(parameter, distance.to(follower.dtype))
        self.steps += 1

    def rate(self) -> Tensor:
        """m of the coming update, float64 []. A tensor: the count of steps stays on the device."""
        if self.schedule == "constant":
            return self.steps.new_full((), self.decay, dtype=torch.float64)
        share = (self.steps.double() / self.total).clamp(max=1.0)
        return 1 - (1 - self.decay) * (1 + torch.cos(math.pi * share)) / 2
