"""Whether the probabilities of a linear probe mean what they say."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.probe import ProbeCache


def calibration(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    probes: ProbeCache,
    *,
    bins: Count = 15,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Calibration errors and proper scores of the probabilities p of the probe that `linear_probe` fits.

    `expected_error`: sum over bins of their share of the images times |accuracy - mean confidence|, confidence being
    max p, in `bins` bins of equal width on (0, 1], open to the left (Guo et al. 2017, arXiv 1706.04599, with their
    15). `adaptive_error`: the same in `bins` bins of equally many images in the order of confidence, the idea of
    Nguyen and O'Connor 2015 (arXiv 1508.05154); sizes differ by one at most, and equal confidences may be divided.
    `brier`: mean over images of the sum over classes of (p - one-hot)^2, 0 to 2. `log_loss`: mean of -log p of the
    image's own label, in nats.

    Degenerate: a label without training images has probability 0: its images are errors, and `log_loss`, which would be
    infinite, is left out. With fewer images than bins each image is an adaptive bin.
    """
    probe = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2)
    logs = probe.log_shares(embeddings)
    shares = logs.exp()
    confidence, column = shares.max(dim=1)
    right = (probe.classes[column] == labels).double()
    own = labels[:, None] == probe.classes
    known = own.any(dim=1)
    found = {
        "expected_error": calibration_error(confidence, right, equal_width_bins(confidence, bins)),
        "adaptive_error": calibration_error(confidence, right, equal_size_bins(confidence, bins)),
        "brier": float(((shares - own.double()).square().sum(dim=1) + (~known).double()).mean()),
    }
    if bool(known.all()):
        found["log_loss"] = -float(logs[own].mean())
    return found


def calibration_error(confidence: Tensor, right: Tensor, bin_of: Tensor) -> float:
    """sum_b n_b / n |mean of `right` in b - mean of `confidence` in b|. All [n]; right 0 or 1; bin_of int64 from 0."""
    gaps = torch.zeros(int(bin_of.max()) + 1, dtype=torch.float64, device=bin_of.device)
    return float(gaps.index_add_(0, bin_of, right - confidence).abs().sum() / len(right))


def equal_width_bins(confidence: Tensor, bins: int) -> Tensor:
    """The bin of each value, int64 [n]: b for values in (b / bins, (b + 1) / bins], and 0 for 0."""
    edges = torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins
    return torch.bucketize(confidence, edges)


def equal_size_bins(confidence: Tensor, bins: int) -> Tensor:
    """The bin of each value, int64 [n], when the values in rising order are cut into `bins` parts."""
    n = len(confidence)
    rank = confidence.argsort(stable=True).argsort()
    return rank * min(bins, n) // n
