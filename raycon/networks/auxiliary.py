"""The contract of a network that is trained, or followed, beside the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from raycon.datasets.table import ImageTable


@dataclass(frozen=True)
class Shapes:
    """Sizes that a network is built from: channels and size of an image, E, D, K (the number of labels)."""

    channels: int
    size: int
    embedding: int
    projection: int
    classes: int


class Auxiliary(nn.Module):
    """A network that gives the objective more names. It is built only when something asks for what it provides.

    A subclass names in `provides` what its `forward` returns, takes `Shapes` first and its knobs keyword-only in
    `__init__`, and asks for tensors of the vocabulary by the parameter names of `forward`.
    """

    provides: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        """Whether with these knobs no gradient passes from what it provides to its inputs."""
        return False

    def prepare(self, data: ImageTable) -> None:
        """Called once, before training, with the training images."""

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor | None:
        """A loss of this network alone, on inputs that it detaches itself; added to the total. None: it has none."""
        return None

    def after_step(self, encoder: nn.Module, step: Mapping[str, Tensor]) -> None:
        """Called after each optimiser step, without gradient: moving averages, queues."""
