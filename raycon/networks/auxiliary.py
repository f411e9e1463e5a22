"""The contract of a network that is trained, or followed, beside the encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from raycon.config import Trial
from raycon.datasets.table import ImageTable


@dataclass(frozen=True)
class Shapes:
    """What a network is built from: channels and size of an image, E, D, K (the number of labels), the online
    networks, and a function that draws another encoder and head of the same configuration.

    `encoder` and `head` are there to be copied (`copy.deepcopy`) at construction, never to be kept.
    """

    channels: int
    size: int
    embedding: int
    projection: int
    classes: int
    groups: int
    encoder: nn.Module
    head: nn.Module
    fresh: Callable[[], tuple[nn.Module, nn.Module]]


@dataclass(frozen=True)
class Preparation:
    """What a network may look at before an epoch.

    table: the training images, in the order that `indices` count. epoch: finished epochs. seed: keyed by the trial's
    order seed and the epoch. embed: the encoder's output [n, E] on all training images, in the order of the table and
    without augmentation; the workers share the work, and all get the whole. make_views: row numbers [N] -> augmented,
    normalised views [N, V, C, H, W], by other draws than the batch's own. resumed: the run goes on from a checkpoint
    inside or before this epoch, and the buffers stand as they were saved: take up what is not saved, redo nothing.
    """

    trial: Trial
    table: ImageTable
    epoch: int
    seed: int
    embed: Callable[[], Tensor]
    make_views: Callable[[Tensor], Tensor]
    resumed: bool


class Auxiliary(nn.Module):
    """A network that gives the objective more names. It is built only when something asks for what it provides.

    A subclass names in `provides` what its `forward` returns, takes `Shapes` first and its knobs keyword-only in
    `__init__`, and asks for tensors of the vocabulary by the parameter names of `forward`. Whatever must outlive an
    interruption is a parameter or a buffer. Under several workers every rank holds the same buffers: what a hook makes
    of the images of one rank it gathers (`raycon.collectives`) before it keeps it.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    sized_by_data: ClassVar[tuple[str, ...]] = ()
    """Buffers whose shape follows from the training images; a checkpoint may hold them in another shape."""

    has_own_head: ClassVar[bool] = False
    """Whether the features that it provides come from a head that is its own: they alone give the encoder none."""

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        """Whether with these knobs no gradient passes from what it provides to its inputs."""
        return False

    def prepare(self, preparation: Preparation) -> None:
        """Called on every worker before every epoch, and after a resumption."""

    @property
    def trains_itself(self) -> bool:
        """Whether it has a loss of its own."""
        return type(self).own_loss is not Auxiliary.own_loss

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor:
        """A loss of this network alone, on inputs that it detaches itself; added to the total, and logged as
        `train/objective/<its name>`. A network that has none leaves this as it is.

        `step` holds this worker's tensors. With n workers the gradients are averaged, so a loss that compares images
        gathers them with `gather_rows` and is not scaled.
        """
        raise NotImplementedError

    def after_step(self, encoder: nn.Module, head: nn.Module, step: Mapping[str, Tensor]) -> None:
        """Called after each optimiser step, without gradient: moving averages, queues."""

    def further_embeddings(self, images: Tensor) -> Tensor | None:
        """Numbers [n, E'] that are put beside the encoder's embeddings when the frozen encoder is judged: a second
        backbone. images: normalised, [n, C, H, W]. None: nothing."""
        return None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in self.sized_by_data:
            stored = state_dict.get(f"{prefix}{name}")
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
