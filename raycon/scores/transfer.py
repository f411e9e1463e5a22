"""Whether the embeddings serve for another data set: a linear probe trained and judged there."""

from __future__ import annotations

from raycon.knobs import Count, NonNegative
from raycon.scores.further import Transferred
from raycon.scores.linear_probe import linear_probe
from raycon.scores.probe import ProbeCache


def transfer(
    transferred: Transferred,
    probes: ProbeCache,
    *,
    dataset: str = "digits",
    train_images: Count = 5000,
    images: Count = 2000,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy and balanced accuracy of a linear probe on the classes of `dataset`, embedded by the encoder as it is.

    As `linear_probe`, over a fixed subset of at most `train_images` training images of that set and at most `images`
    of its split with the name of the split judged, so that a search never sees its test images either. Images are
    resampled to the size of those trained on, made grey or coloured alike, and normalised alike.
    """
    return linear_probe(
        transferred.train_embeddings, transferred.train_labels, transferred.embeddings, transferred.labels, probes,
        iterations=iterations, l2=l2,
    )  # fmt: skip
