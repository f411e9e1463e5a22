"""Every tensor name that a training step may carry: its shape, its kind, what it means.

A term, transform or network asks for tensors by these names; nothing else can be asked for. Capitals are dimensions:
N images, V views of an image, C channels, H and W pixels, E embedding, D projection, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pairwise", "per_image", "label"]


@dataclass(frozen=True)
class Name:
    """One tensor of a step.

    `kind` decides what several workers do with it. A `pairwise` tensor enters comparisons between images, so a term
    that asks for one sees the whole global batch, gathered with gradient (labels are gathered along with it). A term of
    `per_image` tensors and labels alone stays on its worker's share of the batch.
    """

    name: str
    shape: tuple[str, ...]
    kind: Kind
    meaning: str


_IMAGE = ("N", "V", "C", "H", "W")

_NAMES = (
    Name("views", _IMAGE, "per_image", "augmented, normalised views of each image"),
    Name("labels", ("N",), "label", "the label that the data section chose, int64 from 0"),
    Name(
        "bias_labels",
        ("N",),
        "label",
        "the attribute that is spuriously tied to the label; only where data.reveal has it",
    ),
    Name("embeddings", ("N", "V", "E"), "per_image", "the encoder's output, before the projection head"),
    Name("features", ("N", "V", "D"), "pairwise", "the projection head's output, every row of unit length"),
    Name("logits", ("N", "V", "K"), "per_image", "the linear classifier's output"),
    Name("reconstruction", _IMAGE, "per_image", "the decoder's images, to be compared with `views`"),
)

VOCABULARY: dict[str, Name] = {entry.name: entry for entry in _NAMES}
