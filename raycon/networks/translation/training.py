"""Trains a translator: StarGAN's losses, with the label as the domain."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.networks.translation.families import FAMILIES, SMALLEST, Critic, Family, normalised_intensity

logger = logging.getLogger("raycon")

PENALTY, CYCLE_WEIGHT, LABEL_WEIGHT, BETAS = 10.0, 10.0, 1.0, (0.5, 0.999)
"""Of the critic's slope, of the way back, of the label; and Adam's. All as in StarGAN."""
SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Recipe:
    """How a translator is trained; the meaning of each number stands with the knobs of `Translator`."""

    family: Family
    iterations: int
    batch_size: int
    learning_rate: float
    critic_steps: int
    width: int
    intensity_weight: float


class Trainer:
    """One training, on images uint8 [n, C, H, W] and labels [n]. The same arguments give the same translator."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int, recipe: Recipe, seed: int):
        channels, size = images.shape[1], images.shape[2]
        if size < SMALLEST:
            raise ValueError(f"a translator needs images of at least {SMALLEST} pixels, these have {size}")
        self.images, self.labels, self.recipe = images, labels, recipe
        # What is drawn lies on the CPU, so that a GPU changes roundings and nothing else.
        self.random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator: nn.Module = FAMILIES[recipe.family](channels, classes, recipe.width)
            self.critic = Critic(channels, classes, size, recipe.width)
        self.generator.to(images.device)
        self.critic.to(images.device)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=BETAS)
            for network in (self.generator, self.critic)
        ]

    @torch.enable_grad()
    def train(self) -> nn.Module:
        """The generator after all iterations, frozen. A line is logged every few seconds."""
        began = told = time.monotonic()
        for done in range(self.recipe.iterations):
            self._set_rate(done)
            for _ in range(self.recipe.critic_steps):
                critic_loss = self._update(1, self._critic_loss(*self._batch()))
            loss = self._update(0, self._generator_loss(*self._batch()))
            if (now := time.monotonic()) - told > SECONDS_BETWEEN_LINES:
                told = now
                left = (now - began) / (done + 1) * (self.recipe.iterations - done - 1)
                logger.warning(
                    f"translator: iteration {done + 1} of {self.recipe.iterations}, loss {float(loss):.3f}, "
                    f"critic {float(critic_loss):.3f}, about {left:.0f} s left"
                )
        return self.generator.eval().requires_grad_(False)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, their labels, and the same labels in another order: the targets."""
        rows = torch.randint(len(self.images), (self.recipe.batch_size,), generator=self.random)
        order = torch.randperm(len(rows), generator=self.random)
        rows = rows.to(self.images.device)
        labels = self.labels[rows]
        return self.images[rows].float() / 255, labels, labels[order.to(labels.device)]

    def _critic_loss(self, images: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Wasserstein distance with a penalty on the slope between real and made images, and the label of real ones."""
        with torch.no_grad():
            made = self.generator(images, targets)
        scores, logits = self.critic(images)
        shares = torch.rand(len(images), 1, 1, 1, generator=self.random).to(images.device)
        between = (shares * images + (1 - shares) * made).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between)[0].sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        distance = self.critic(made)[0].mean() - scores.mean()
        loss: Tensor = distance + PENALTY * penalty + LABEL_WEIGHT * functional.cross_entropy(logits, labels)
        return loss

    def _generator_loss(self, images: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Made images look real, read as their target, and lead back; `pixel` keeps the intensities beside that."""
        made = self.generator(images, targets)
        scores, logits = self.critic(made)
        back = (self.generator(made, labels) - images).abs().mean()
        loss: Tensor = LABEL_WEIGHT * functional.cross_entropy(logits, targets) - scores.mean() + CYCLE_WEIGHT * back
        if self.recipe.family == "pixel":
            moved = (normalised_intensity(made) - normalised_intensity(images)).abs().mean()
            loss = loss + self.recipe.intensity_weight * moved
        return loss

    def _update(self, which: int, loss: Tensor) -> Tensor:
        self.optimisers[which].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[which].step()
        return loss.detach()

    def _set_rate(self, done: int) -> None:
        """Constant over the first half of the iterations, then falling to 0, as StarGAN's."""
        share = min(1.0, 2 * (1 - done / self.recipe.iterations))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * self.recipe.learning_rate
