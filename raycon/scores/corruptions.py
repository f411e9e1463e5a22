"""What is left of a linear probe's accuracy on images that have gone bad."""

from __future__ import annotations

import math

from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.further import Corrupted
from raycon.scores.probe import ProbeCache


def corruptions(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    corrupted: Corrupted,
    probes: ProbeCache,
    *,
    images: Count = 500,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy of the probe of `linear_probe` under 15 families of corruption at 5 severities each.

    `clean_accuracy`: on the `images` images judged that are corrupted, as they are; `accuracy`: on their corrupted
    copies, mean over families and severities; `FAMILY_accuracy`: mean over its severities; `worst_accuracy`: the least
    of these. `mean_error`: the mean corruption error, mean over families of (sum over severities of the error) / (sum
    over severities of the baseline's error) as in Hendrycks and Dietterich 2019 (arXiv 1903.12261), with the baseline
    that is always at hand instead of their AlexNet: the same kind of probe on the pixels of at most 2000 training
    images. Below 1 the encoder withstands corruption better than pixels do. `relative_error`: the same with each
    side's clean error subtracted.

    The families are those of `raycon.datasets.corruptions`, our own definitions, so that values are not comparable with
    published ones. images: 75 times as many are encoded; 500 are a fixed subset of the images judged, the same for all
    arms. Degenerate: a ratio whose baseline never errs, or errs no more than on clean images, in some family is left
    out.
    """
    probe = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2)
    pixel_labels = train_labels[corrupted.train_rows]
    baseline = probes.fit(corrupted.train_pixels.float(), pixel_labels, iterations=iterations, l2=l2)
    wanted = labels[corrupted.rows]

    def wrong(predicted: Tensor) -> float:
        return float((predicted != wanted).double().mean())

    errors: dict[str, list[float]] = {}
    baselines: dict[str, list[float]] = {}
    for (family, severity), values in corrupted.embeddings.items():
        errors.setdefault(family, []).append(wrong(probe.predict(values)))
        baselines.setdefault(family, []).append(wrong(baseline.predict(corrupted.pixels[family, severity].float())))
    accuracies = {family: 1 - math.fsum(row) / len(row) for family, row in errors.items()}
    clean = wrong(probe.predict(embeddings[corrupted.rows]))
    found = {
        "clean_accuracy": 1 - clean,
        "accuracy": math.fsum(accuracies.values()) / len(accuracies),
        "worst_accuracy": min(accuracies.values()),
    }
    found |= {f"{family}_accuracy": value for family, value in accuracies.items()}
    clean_baseline = wrong(baseline.predict(corrupted.clean_pixels.float()))
    for name, less, less_baseline in (("mean_error", 0.0, 0.0), ("relative_error", clean, clean_baseline)):
        ratio = _mean_ratio(errors, baselines, less, less_baseline)
        if ratio is not None:
            found[name] = ratio
    return found


def _mean_ratio(
    errors: dict[str, list[float]], baselines: dict[str, list[float]], less: float, less_baseline: float
) -> float | None:
    ratios = []
    for family, row in errors.items():
        above = math.fsum(error - less_baseline for error in baselines[family])
        if above <= 1e-9:
            return None
        ratios.append(math.fsum(error - less for error in row) / above)
    return math.fsum(ratios) / len(ratios)
