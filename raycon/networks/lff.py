"""Learning from failure: a network that fails on what contradicts the bias says which images count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.collectives import gather_rows
from raycon.knobs import Fraction
from raycon.losses.generalised_cross_entropy import generalised_cross_entropy
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes


class LearningFromFailure(Auxiliary):
    """views, labels, logits, indices -> sample_weights [N] and bias_logits [N, V, K], both without gradient.

    A biased encoder of the trial's own kind with a linear classifier, trained by `generalised_cross_entropy`. For every
    training image moving averages of both networks' cross entropies are kept, l_b and l_d (mean over views; the first
    value as it is, then momentum x old + (1 - momentum) x new), each divided by its largest value in the image's class:
    weight = l_b / (l_b + l_d), 0 where both are 0. Images that only the biased network fails on weigh most.
    Source: Nam et al. 2020 (Learning from Failure, arXiv 2007.02561) and the authors' code, which adds 1e-8 to the
    denominator.

    momentum: authors 0.7. amplification: q of the generalised cross entropy, authors 0.7.
    """

    provides = ("sample_weights", "bias_logits")
    sized_by_data = ("biased_losses", "losses", "seen")

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(self, shapes: Shapes, *, momentum: Fraction = 0.7, amplification: Fraction = 0.7):
        super().__init__()
        self.momentum, self.amplification, self.classes = momentum, amplification, shapes.classes
        self.encoder, _ = shapes.fresh()
        self.classifier = nn.Linear(shapes.embedding, shapes.classes)
        self.live: Tensor | None = None
        for name in self.sized_by_data:
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("image_labels", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.biased_losses: Tensor
        self.losses: Tensor
        self.seen: Tensor
        self.image_labels: Tensor

    def prepare(self, preparation: Preparation) -> None:
        labels = preparation.table.attributes[preparation.trial.data.labels]
        self.image_labels = labels.to(self.seen.device)
        if len(self.seen) != len(labels):
            for name in self.sized_by_data:
                setattr(self, name, self.classifier.weight.new_zeros(len(labels)).detach())

    def forward(self, views: Tensor, labels: Tensor, logits: Tensor, indices: Tensor) -> dict[str, Tensor]:
        images, count = views.shape[:2]
        biased = self.classifier(self.encoder(views.flatten(0, 1))).view(images, count, -1)
        self.live = biased if biased.dtype == views.dtype else biased.to(views.dtype)
        with torch.no_grad():
            own = torch.stack([_losses(self.live, labels), _losses(logits, labels)], dim=1)
            self._follow(gather_rows(own), gather_rows(indices))
            biased_loss, loss = (self._relative(kept)[indices] for kept in (self.biased_losses, self.losses))
            total = biased_loss + loss
            weights = biased_loss / total.masked_fill(total == 0, 1.0)
        return {"sample_weights": weights, "bias_logits": self.live.detach()}

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor:
        logits, self.live = self.live, None
        if logits is None:
            raise RuntimeError("its logits were not computed in this step")
        return generalised_cross_entropy(logits, step["labels"], amplification=self.amplification)

    def _follow(self, new: Tensor, indices: Tensor) -> None:
        """Moves the averages of the images `indices` [n]; new: [n, 2] losses of the biased network and of the other."""
        for kept, values in zip((self.biased_losses, self.losses), new.to(self.losses.dtype).unbind(1), strict=True):
            momentum = self.momentum * self.seen[indices]
            kept[indices] = momentum * kept[indices] + (1 - momentum) * values
        self.seen[indices] = 1.0

    def _relative(self, kept: Tensor) -> Tensor:
        """The averages of all images, each divided by the largest of its class."""
        largest = kept.new_zeros(self.classes).scatter_reduce(0, self.image_labels, kept, "amax")
        return kept / largest.masked_fill(largest == 0, 1.0)[self.image_labels]


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Each image's cross entropy [N], the mean over its views."""
    targets = labels.repeat_interleave(logits.shape[1])
    return functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(len(logits), -1).mean(dim=1)
