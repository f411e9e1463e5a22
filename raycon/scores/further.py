"""What evaluation encodes beside the two splits, for the protocols that ask for it: changed images, other data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from raycon.scores.probe import Probe


@dataclass(frozen=True)
class Corrupted:
    """Corrupted copies of some of the images judged, and pixels for a classifier without an encoder.

    rows: int64 [k], which images judged were corrupted. embeddings, pixels: (family, severity) -> float32 [k, E] and
    uint8 [k, P]; clean_pixels: uint8 [k, P], before the corruption. train_rows: int64 [j]; train_pixels: uint8 [j, P],
    of these training images.
    """

    rows: Tensor
    embeddings: Mapping[tuple[str, int], Tensor]
    pixels: Mapping[tuple[str, int], Tensor]
    clean_pixels: Tensor
    train_rows: Tensor
    train_pixels: Tensor


@dataclass(frozen=True)
class Transferred:
    """Another data set as the encoder sees it: float32 [j, E] and [k, E], and their classes, int64 [j] and [k]."""

    train_embeddings: Tensor
    train_labels: Tensor
    embeddings: Tensor
    labels: Tensor


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tuned copy of the encoder predicts for the images judged, int64 [n], or None where training it came
    to numbers that are not finite; and the linear probe of the same few labels that it began with."""

    predicted: Tensor | None
    probe: Probe
