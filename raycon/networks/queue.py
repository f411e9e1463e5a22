"""A queue of earlier momentum features, to compare with more images than a batch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.collectives import gather_rows
from raycon.knobs import Count, Whole
from raycon.networks.auxiliary import Auxiliary, Shapes


def enqueue(queue: Tensor, pointer: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The ring `queue` [Q, D] after `keys` [B, D] were written to it one after another, and the new pointer.

    `pointer` [] int64 is the place that is written next. Any B: what is written past the end goes on at the start, and
    of more than Q keys the last Q stay.
    """
    size, count = len(queue), len(keys)
    places = (pointer + torch.arange(count, device=queue.device)) % size
    return queue.index_copy(0, places[-size:], keys[-size:]), (pointer + count) % size


class Ring(nn.Module):
    """Unit rows [size, D] in a ring, at first random ones, equal on every worker. No gradient passes."""

    rows: Tensor
    pointer: Tensor

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("rows", functional.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def write(self, features: Tensor, views: int) -> None:
        """Takes in the first `views` (0: all) of this worker's features [N, V, D] and of all other workers', view by
        view, each in the order of the images in the batch."""
        chosen = gather_rows(features[:, : views or None]).transpose(0, 1).flatten(0, 1)
        self.rows, self.pointer = enqueue(self.rows, self.pointer, chosen.to(self.rows.dtype))


class Queue(Auxiliary):
    """momentum_features [N, M, D] -> queue [size, D], as it was before this batch.

    After the step the batch's own momentum features, of the first `views` views (0: all that there are), take the place
    of the oldest rows. Random unit rows at the start, drawn from the init seed.
    """

    provides = ("queue",)

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(self, shapes: Shapes, *, size: Count = 4096, views: Whole = 0):
        super().__init__()
        self.views = views
        self.ring = Ring(size, shapes.projection)

    def forward(self, momentum_features: Tensor) -> dict[str, Tensor]:
        return {"queue": self.ring.rows}

    def after_step(self, encoder: nn.Module, head: nn.Module, step: Mapping[str, Tensor]) -> None:
        self.ring.write(step["momentum_features"], self.views)
