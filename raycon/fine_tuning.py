"""Trains a copy of an encoder on a few labels: what the protocol `fine_tune` judges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.datasets import ImageTable
from raycon.scores import FineTuned
from raycon.scores.probe import Probe, fit_probe
from raycon.seeding import derive_seed

ROWS_AT_ONCE = 500
PROBE_ITERATIONS = 50
LONGEST_STEP = 1.0
"""The norm to which a gradient is cut."""

EmbedRows = Callable[[ImageTable, Tensor], Tensor]
"""Rows of a table -> their embeddings [n, E], with gradient where it is on."""
Copied = Callable[[], tuple[nn.Module, EmbedRows]]
"""Gives a fresh copy of an encoder, in evaluation mode, and how it embeds images."""


@torch.enable_grad()
def tuned(
    copied: Copied,
    train: ImageTable,
    labels: str,
    judged: ImageTable,
    *,
    images: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    l2: float,
) -> FineTuned:
    """A linear probe on `images` training images of each value of the attribute `labels`, then all trained from there.

    See `raycon.scores.fine_tune` for what is done. Every draw is of this function alone, keyed by the numbers of images
    and the epoch; the global generator is neither used nor moved. `train` and `judged` are not changed.
    """
    rows = few_rows(train.attributes[labels], images)
    model, embed = copied()
    with torch.no_grad():
        frozen = torch.cat([embed(train, chunk) for chunk in torch.split(rows, ROWS_AT_ONCE)])
    probe = fit_probe(frozen.float().cpu(), train.attributes[labels][rows], iterations=PROBE_ITERATIONS, l2=l2)
    head = Head(probe).to(frozen)
    targets = torch.searchsorted(probe.classes, train.attributes[labels][rows]).to(frozen.device)
    parameters = [parameter for part in (model, head) for parameter in part.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9)
    steps = epochs * math.ceil(len(rows) / batch_size)
    for step, batch in enumerate(_batches(len(rows), epochs, batch_size)):
        optimiser.param_groups[0]["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        loss = functional.cross_entropy(head(embed(train, rows[batch])), targets[batch.to(targets.device)])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, LONGEST_STEP)
        optimiser.step()
    with torch.no_grad():
        chunks = torch.split(torch.arange(len(judged)), ROWS_AT_ONCE)
        logits = torch.cat([head(embed(judged, chunk)) for chunk in chunks]).cpu()
    finite = bool(torch.isfinite(logits).all())
    return FineTuned(probe.classes[logits.argmax(dim=1)] if finite else None, probe)


class Head(nn.Module):
    """The probe as a layer: its mean and scale stay, weights [E, K] and bias [K] are trained."""

    mean: Tensor
    scale: Tensor

    def __init__(self, probe: Probe):
        super().__init__()
        self.register_buffer("mean", probe.mean)
        self.register_buffer("scale", probe.scale)
        self.weights = nn.Parameter(probe.weights.clone())
        self.bias = nn.Parameter(probe.bias.clone())

    def forward(self, embeddings: Tensor) -> Tensor:
        return (embeddings - self.mean) / self.scale @ self.weights + self.bias


def few_rows(labels: Tensor, images: int) -> Tensor:
    """At most `images` rows of each label, int64 in rising order of the labels; drawn by the number of rows alone."""
    generator = torch.Generator().manual_seed(derive_seed(0, "fine_tune", len(labels)))
    order = torch.randperm(len(labels), generator=generator)
    sorted_labels, places = labels[order].sort(stable=True)
    starts = torch.searchsorted(sorted_labels, sorted_labels)
    return order[places[torch.arange(len(labels)) - starts < images]]


def _batches(count: int, epochs: int, batch_size: int) -> Iterator[Tensor]:
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(derive_seed(0, "fine_tune", count, epoch))
        yield from torch.split(torch.randperm(count, generator=generator), batch_size)
