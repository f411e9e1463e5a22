"""Every tensor name that a training step may carry: its shape, its kind, what it means.

A term, transform or network asks for tensors by these names; nothing else can be asked for. Capitals are dimensions:
N images, V views of an image, C channels, H and W pixels, E embedding, D projection, K classes, Q entries of a queue,
P prototypes, G groups, R random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pairwise", "per_image", "label", "shared", "measure"]


@dataclass(frozen=True)
class Name:
    """One tensor of a step.

    `kind` decides what several workers do with it. A `pairwise` tensor enters comparisons between images, so a term
    that asks for one sees the whole global batch, gathered with gradient (the other tensors of that term are gathered
    along with it). A term of `per_image` tensors and labels alone stays on its worker's share of the batch. A `shared`
    tensor is the same on every worker (weights, a queue) and is never gathered. A `measure` is a number for each image
    that nothing asks for: its mean over the epoch is logged as `train/objective/<name>`.

    `unit` tensors have rows of unit length.
    """

    name: str
    shape: tuple[str, ...]
    kind: Kind
    meaning: str
    unit: bool = False


_IMAGE = ("N", "V", "C", "H", "W")

DRAWS = 32
"""R: how many uniform random numbers a function that asks for `draws` is given for each image."""

_NAMES = (
    Name("views", _IMAGE, "per_image", "augmented, normalised views of each image"),
    Name("labels", ("N",), "label", "the label that the data section chose, int64 from 0"),
    Name("indices", ("N",), "label", "the image's row number among the training images"),
    Name(
        "bias_labels",
        ("N",),
        "label",
        "the attribute that is spuriously tied to the label; only where data.reveal has it",
    ),
    Name("groups", ("N",), "label", "the combination of the attributes in data.groups; only where data.reveal has it"),
    Name(
        "draws",
        ("N", "R"),
        "per_image",
        "uniform numbers in [0, 1), keyed by seed, epoch and image; every function that asks has its own",
    ),
    Name("embeddings", ("N", "V", "E"), "per_image", "the encoder's output, before the projection head"),
    Name("features", ("N", "V", "D"), "pairwise", "the projection head's output, every row of unit length", unit=True),
    Name("logits", ("N", "V", "K"), "per_image", "the linear classifier's output"),
    Name("reconstruction", _IMAGE, "per_image", "the decoder's images, to be compared with `views`"),
    Name("twin_embeddings", ("N", "V", "E"), "per_image", "the output of a second encoder on `views`"),
    Name("twin_features", ("N", "V", "D"), "pairwise", "the output of the second encoder's head, unit rows", unit=True),
    Name("twin_logits", ("N", "V", "K"), "per_image", "a second classifier's output on `twin_embeddings`"),
    Name("twin_reconstruction", _IMAGE, "per_image", "a second decoder's images from `twin_embeddings`"),
    Name("momentum_features", ("N", "V", "D"), "pairwise", "`features` of a moving average of the network", unit=True),
    Name("predictions", ("N", "V", "D"), "pairwise", "the predictor's output on `features`, unit rows", unit=True),
    Name("neighbour_features", ("N", "V", "D"), "pairwise", "nearest neighbours of `features` in a queue", unit=True),
    Name("queue", ("Q", "D"), "shared", "earlier features, unit rows, without gradient", unit=True),
    Name("prototypes", ("K", "D"), "shared", "one unit vector a class", unit=True),
    Name("class_frequencies", ("K",), "shared", "the share of each class among the training images"),
    Name("classifier_weights", ("K", "E"), "shared", "the classifier's weights, one row a class"),
    Name("group_weights", ("G",), "shared", "the weight of each group, sum 1, without gradient"),
    Name("sample_weights", ("N",), "per_image", "the weight of each image, without gradient"),
    Name("bias_features", ("N", "V", "D"), "pairwise", "features of a network that is drawn to the bias", unit=True),
    Name("bias_logits", ("N", "V", "K"), "per_image", "logits of a network that is drawn to the bias"),
    Name("mixed_labels", ("N",), "label", "the label of the image that was mixed in"),
    Name("mixed_share", ("N",), "per_image", "the weight, 0 to 1, of the image's own label in `mixed_views`"),
    Name("paired", ("N",), "measure", "1 where the image found a partner to be mixed with, else 0"),
    Name("assignments", ("N",), "label", "the prototype nearest to the image at the last clustering"),
    Name("partner_assignments", ("N",), "label", "the prototype of the image in `partner_views`"),
    Name("same_prototype", ("N",), "label", "1 where an image and its partner share their prototype, else 0"),
    Name("pair_logits", ("N", "S"), "per_image", "how alike a learned metric finds the S pairs of views of two images"),
    Name("prototype_logits", ("N", "V", "P"), "per_image", "a linear classifier of prototypes on `embeddings`"),
    Name("partner_prototype_logits", ("N", "V", "P"), "per_image", "the same on `partner_embeddings`"),
)

_FURTHER_VIEWS = {
    "universum": "views mixed with images of another class, so that they belong to none",
    "mixed": "views mixed with views of other images",
    "translated": "views whose bias was changed by a translator, their content kept",
    "partner": "views of another training image, the image's partner",
}
"""Prefix -> what the views are. Each prefix X adds X_views, X_embeddings, X_features and X_logits to the vocabulary."""


def _further(prefix: str, meaning: str) -> tuple[Name, ...]:
    return (
        Name(f"{prefix}_views", _IMAGE, "per_image", meaning),
        Name(f"{prefix}_embeddings", ("N", "V", "E"), "per_image", f"the encoder's output on `{prefix}_views`"),
        Name(
            f"{prefix}_features", ("N", "V", "D"), "pairwise", f"the head's output on `{prefix}_views`, unit rows", True
        ),
        Name(f"{prefix}_logits", ("N", "V", "K"), "per_image", f"the classifier's output on `{prefix}_views`"),
    )


VOCABULARY: dict[str, Name] = {
    entry.name: entry
    for entry in (*_NAMES, *(name for prefix, text in _FURTHER_VIEWS.items() for name in _further(prefix, text)))
}
