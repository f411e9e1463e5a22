"""What an entry of the catalogue says of a data set before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images: the convention for sets of photographs."""


@dataclass(frozen=True)
class CoarseMap:
    """A fine-to-coarse map. `of[k]` is the coarse class of class k; `names` names the coarse classes."""

    of: tuple[int, ...]
    names: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class DatasetInfo:
    """What is true of a data set before it is read.

    channels, size: images are uint8 [channels, size, size]; where they come as files, `size` is what they are decoded
    to unless `data.size` says otherwise. classes: names in the order of their numbers. attributes: name -> number of
    values, as the loader gives them; values: the names of these, where they have some. mean, std: per channel over the
    official training images, in units of [0, 1] pixels, or the convention for photographs. coarse: the maps that
    `data.coarse` may name. bias: the attribute that `data.reveal: [bias_labels]` shows, where the set has a cue of its
    own.
    """

    name: str
    description: str
    source: str
    channels: int
    size: int
    classes: tuple[str, ...]
    attributes: Mapping[str, int]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    coarse: Mapping[str, CoarseMap] = field(default_factory=dict)
    bias: str | None = None
