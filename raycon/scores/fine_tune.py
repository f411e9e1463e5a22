"""What a few labels make of the encoder when all of it may move: fine-tuning a copy, from a linear probe."""

from __future__ import annotations

from torch import Tensor

from raycon.knobs import Count, Positive
from raycon.scores.further import FineTuned


def fine_tune(
    embeddings: Tensor,
    labels: Tensor,
    fine_tuned: FineTuned,
    *,
    images: Count = 50,
    epochs: Count = 5,
    batch_size: Count = 50,
    learning_rate: Positive = 0.01,
    l2: Positive = 0.01,
) -> dict[str, float]:
    """Accuracy on all images judged after a copy of the encoder was trained on `images` training images of each label.

    First a linear probe is fitted on the frozen embeddings of these images, with the strength `l2`: `probe_accuracy`.
    From there encoder and classifier are trained together (Kumar et al. 2022, arXiv 2202.10054, who call it LP-FT) by
    SGD with momentum 0.9 and a cosine schedule from `learning_rate` to 0, mean cross-entropy, no weight decay and no
    augmentation: `accuracy`, after the last epoch. The same images and orders for every encoder, drawn by this
    protocol alone. Batch normalisation keeps the statistics of pretraining, as those of so few images would be noise.

    Cost: forward and backward passes of images * labels * epochs images, and a pass over the images judged: for
    finalists, not for rungs. learning_rate: 0.001 to 0.1; gradients are cut to norm 1, so that a step is never longer.

    Degenerate: labels with fewer training images give all that they have; labels without any are never predicted and
    count as errors. Where training comes to numbers that are not finite, `accuracy` is left out.
    """
    found = {"probe_accuracy": float((fine_tuned.probe.predict(embeddings) == labels).double().mean())}
    if fine_tuned.predicted is not None:
        found["accuracy"] = float((fine_tuned.predicted == labels).double().mean())
    return found
