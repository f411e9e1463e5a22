"""One split as a frozen encoder sees it: embeddings and features with the attributes they are judged against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raycon.errors import RayconError


class NotFinite(RayconError):
    """Embeddings or features hold NaN or infinity, so that no score of them would mean anything."""


@dataclass(frozen=True)
class Embedded:
    """The frozen representation of one split.

    embeddings: float32 [n, E], the encoder's output. features: float32 [n, D], unit rows, the head's output.
    attributes: name -> int64 [n], sizes: name -> number of values. labels: int64 [n], the attribute trained on.
    groups: int64 [n] in 0..group_count-1, or None when the configuration names no groups (group_count is then 0).

    Raises ValueError when there are no images or when lengths disagree, NotFinite for NaN or infinity.
    """

    embeddings: Tensor
    features: Tensor
    attributes: Mapping[str, Tensor]
    sizes: Mapping[str, int]
    labels: Tensor
    groups: Tensor | None = None
    group_count: int = 0

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if n == 0:
            raise ValueError("a split without images cannot be scored")
        columns = {"features": self.features, "labels": self.labels, **self.attributes}
        if self.groups is not None:
            columns["groups"] = self.groups
        for name, values in columns.items():
            if len(values) != n:
                raise ValueError(f"{name} has {len(values)} rows, embeddings have {n}")
        for name, values in (("embeddings", self.embeddings), ("features", self.features)):
            if not bool(torch.isfinite(values).all()):
                raise NotFinite(f"{name} are not finite")

    def __len__(self) -> int:
        return len(self.embeddings)
