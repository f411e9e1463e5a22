"""Every metric raycon can write: its name, which direction is better, its unit and its meaning. One table, no torch.

A metric's full name has three parts, `split/protocol/metric`, for example `validation/linear_probe/accuracy`. The table
is keyed by the last two: the split says on which images a number was taken, not what it is. A scorer may return no
name that is not in here, and a file may name no objective that is not in here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from raycon.errors import InvalidFile, nearest

Direction = Literal["higher", "lower", "none"]

SPLITS = ("train", "validation", "test")
SEARCHABLE_SPLITS = ("validation",)
TRAINING_PROTOCOLS = ("objective", "speed")


CORRUPTION_FAMILIES = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """`direction` is the better one; `none` marks numbers that describe and cannot be an objective. `counted`: a share
    of all images judged, each counted once, so that their number gives its interval."""

    direction: Direction
    unit: str
    meaning: str
    counted: bool = False


METRICS: dict[str, Metric] = {
    "linear_probe/accuracy": Metric(
        "higher", "fraction", "share of images whose label a linear probe predicts", counted=True
    ),
    "linear_probe/balanced_accuracy": Metric("higher", "fraction", "mean over labels of the probe's recall"),
    "nearest_neighbours/accuracy": Metric(
        "higher", "fraction", "share of images whose label their neighbours vote for", counted=True
    ),
    "coarse_to_fine/accuracy": Metric(
        "higher", "fraction", "share of images whose fine class a linear probe predicts", counted=True
    ),
    "coarse_to_fine/coarse_accuracy": Metric(
        "higher",
        "fraction",
        "share of images whose predicted fine class belongs to the right coarse class",
        counted=True,
    ),
    "groups/average_accuracy": Metric("higher", "fraction", "probe accuracy, every image counted once", counted=True),
    "groups/unbiased_accuracy": Metric("higher", "fraction", "mean of the probe accuracies of the groups present"),
    "groups/worst_accuracy": Metric("higher", "fraction", "smallest probe accuracy of a group that is present"),
    "groups/worst3_accuracy": Metric("higher", "fraction", "mean of the three smallest probe accuracies of a group"),
    "groups/aligned_accuracy": Metric(
        "higher", "fraction", "probe accuracy on images whose bias agrees with the class"
    ),
    "groups/conflicting_accuracy": Metric(
        "higher", "fraction", "probe accuracy on images whose bias disagrees with the class"
    ),
    "groups/smallest_size": Metric("none", "images", "size of the smallest group that is present"),
    "groups/missing": Metric("none", "groups", "number of groups without an image in the split"),
    "groups/adjusted_accuracy": Metric(
        "higher", "fraction", "probe accuracy, every group weighted by its share of the training images"
    ),
    "groups/worst_low": Metric("higher", "fraction", "lower end of the 95 % interval of the lowest group accuracy"),
    "groups/worst_high": Metric("higher", "fraction", "upper end of the 95 % interval of the lowest group accuracy"),
    "groups/worst_bias": Metric("none", "fraction", "estimate of how much noise lowers the smallest group accuracy"),
    "geometry/alignment": Metric(
        "lower", "squared distance", "mean squared distance of unit features with the same label, 0 to 4"
    ),
    "geometry/uniformity": Metric(
        "lower", "log potential", "log of the mean Gaussian potential of pairs of unit features, -8 to 0"
    ),
    "geometry/effective_rank": Metric(
        "higher", "dimensions", "exponential of the entropy of the singular values of the centred embeddings"
    ),
    "geometry/within_class_spread": Metric(
        "higher", "fraction", "share of the embeddings' variance that lies within labels; low means collapsed"
    ),
    "geometry/tolerance": Metric("none", "cosine", "mean cosine of unit features with the same label, -1 to 1"),
    "geometry/rank_me": Metric(
        "higher", "dimensions", "exponential of the entropy of the singular values of the embeddings, not centred"
    ),
    "geometry/within_class_ratio": Metric(
        "none", "ratio", "variance within labels in units of that between their means (NC1); 0 means collapsed"
    ),
    "geometry/subclass_separability": Metric(
        "higher", "fraction", "share of the variance within labels that lies between the classes of a label"
    ),
    "shots/many_accuracy": Metric("higher", "fraction", "mean accuracy of classes with many training images"),
    "shots/medium_accuracy": Metric("higher", "fraction", "mean accuracy of classes with some training images"),
    "shots/few_accuracy": Metric("higher", "fraction", "mean accuracy of classes with few training images"),
    "shots/head_accuracy": Metric("higher", "fraction", "mean accuracy of the third of classes with the most images"),
    "shots/middle_accuracy": Metric("higher", "fraction", "mean accuracy of the classes between head and tail"),
    "shots/tail_accuracy": Metric("higher", "fraction", "mean accuracy of the third of classes with the fewest images"),
    "shots/worst_class_accuracy": Metric("higher", "fraction", "smallest accuracy of a class"),
    "shots/class_accuracy": Metric("higher", "fraction", "mean of the accuracies of the classes"),
    **{
        f"few_shot/accuracy_{count}": Metric(
            "higher", "fraction", f"accuracy from {count} training images a class, mean over draws of them"
        )
        for count in (1, 5, 10)
    },
    **{
        f"few_shot/half_width_{count}": Metric(
            "none", "fraction", f"half the 95 % interval of the accuracy from {count} a class, over draws"
        )
        for count in (1, 5, 10)
    },
    "calibration/expected_error": Metric(
        "lower", "fraction", "mean gap of the probe's accuracy and confidence, bins of equal width"
    ),
    "calibration/adaptive_error": Metric(
        "lower", "fraction", "mean gap of the probe's accuracy and confidence, bins of equally many images"
    ),
    "calibration/brier": Metric("lower", "squared error", "squared error of the probe's probabilities, 0 to 2"),
    "calibration/log_loss": Metric("lower", "nats", "negative log of the probability of an image's own label"),
    "estimated_groups/worst_accuracy": Metric("higher", "fraction", "least probe accuracy in an estimated group"),
    "estimated_groups/robust_worst_accuracy": Metric(
        "higher", "fraction", "least accuracy in an estimated group of a Group-DRO probe trained on such groups"
    ),
    "estimated_groups/robust_accuracy": Metric(
        "higher", "fraction", "accuracy of that Group-DRO probe on all images", counted=True
    ),
    "estimated_groups/true_worst_accuracy": Metric(
        "higher", "fraction", "least accuracy in a true group of that Group-DRO probe"
    ),
    "estimated_groups/agreement": Metric(
        "higher", "adjusted Rand index", "agreement of estimated and true groups within labels; 0 is chance"
    ),
    "estimated_groups/count": Metric("none", "groups", "number of groups estimated"),
    "subgroup_ranking/area": Metric("higher", "fraction", "area under the ROC curve of one label against the rest"),
    "subgroup_ranking/worst_area": Metric(
        "higher", "fraction", "least area under the ROC curve of one label against a group of the rest"
    ),
    "sgd_probe/accuracy": Metric(
        "higher", "fraction", "share of images whose label a probe trained by SGD predicts", counted=True
    ),
    "corruptions/clean_accuracy": Metric("higher", "fraction", "probe accuracy on the images that are then corrupted"),
    "corruptions/accuracy": Metric("higher", "fraction", "probe accuracy on corrupted images, mean over all kinds"),
    "corruptions/worst_accuracy": Metric("higher", "fraction", "least probe accuracy under a family of corruptions"),
    "corruptions/mean_error": Metric(
        "lower", "ratio", "mean over families of the error in units of that of a probe on pixels (mCE)"
    ),
    "corruptions/relative_error": Metric(
        "lower", "ratio", "mean over families of the error added by corruption in units of a pixel probe's"
    ),
    **{
        f"corruptions/{family}_accuracy": Metric("higher", "fraction", f"probe accuracy under {family}")
        for family in CORRUPTION_FAMILIES
    },
    "out_of_distribution/area": Metric(
        "higher", "fraction", "area under the ROC curve of images judged against those of another data set"
    ),
    "out_of_distribution/false_alarms": Metric(
        "lower", "fraction", "share of the other data set taken for the own where 95 % of the own are (FPR95)"
    ),
    "transfer/accuracy": Metric("higher", "fraction", "probe accuracy on another data set's classes"),
    "transfer/balanced_accuracy": Metric("higher", "fraction", "mean recall of the probe on another data set"),
    "fine_tune/accuracy": Metric(
        "higher", "fraction", "accuracy after a copy of the encoder was trained on a few labels", counted=True
    ),
    "fine_tune/probe_accuracy": Metric(
        "higher", "fraction", "accuracy of the linear probe on the same few labels, before", counted=True
    ),
    "objective/total": Metric("lower", "loss", "weighted sum of the objective's terms, mean over the epoch"),
    "objective/learning_rate": Metric("none", "step size", "learning rate at the end of the epoch"),
    "objective/gradient_norm": Metric("none", "norm", "norm of the gradient before clipping, mean over the epoch"),
    "speed/images_per_second": Metric("higher", "images per second", "images trained on per second of the epoch"),
    "speed/seconds": Metric("lower", "seconds", "wall time of the epoch"),
}

PATTERNS: dict[str, Metric] = {
    r"groups/group_(0|[1-9][0-9]*)_accuracy": Metric("higher", "fraction", "probe accuracy of one group"),
    r"groups/group_(0|[1-9][0-9]*)_size": Metric("none", "images", "number of images of one group"),
    r"groups/group_(0|[1-9][0-9]*)_low": Metric("higher", "fraction", "lower end of a group's interval"),
    r"groups/group_(0|[1-9][0-9]*)_high": Metric("higher", "fraction", "upper end of a group's interval"),
    r"subgroup_ranking/group_(0|[1-9][0-9]*)_area": Metric(
        "higher", "fraction", "area under the ROC curve of one label against one group of the rest"
    ),
    r"objective/[A-Za-z_][A-Za-z0-9_-]*": Metric("lower", "loss", "one term of the objective, mean over the epoch"),
}
"""Names that carry a number or a key. They are looked up after `METRICS`, whose entries win."""


def metric(name: str) -> Metric:
    """What `name` (three parts) stands for.

    Raises InvalidFile, with the nearest known name, when it has not three parts, names no split, or is not in the
    table; and when a number that only training writes (`objective`, `speed`) is asked of another split.
    """
    parts = name.split("/")
    if len(parts) != 3 or not all(parts):
        raise InvalidFile(f"{name!r} is no metric: a name has three parts, split/protocol/metric{_near(name)}")
    split, protocol, _ = parts
    if split not in SPLITS:
        raise InvalidFile(f"{name!r}: the split {split!r} is none of {', '.join(SPLITS)}{_near(name)}")
    if protocol in TRAINING_PROTOCOLS and split != "train":
        raise InvalidFile(f"{name!r}: {protocol!r} is measured while training only{_near(name)}")
    found = _look_up(name.removeprefix(f"{split}/"))
    if found is None:
        raise InvalidFile(f"{name!r} is not a known metric{_near(name)}")
    return found


def direction(name: str) -> Direction:
    """The better direction of the metric `name` (three parts). Raises InvalidFile as `metric` does."""
    return metric(name).direction


def searchable(name: str) -> Metric:
    """The metric `name` when a search may look at it.

    Raises InvalidFile otherwise: only validation scores with a direction are searchable. Selection never sees the test
    set, and training numbers are what is optimised already.
    """
    found = metric(name)
    split, rest = name.split("/", 1)
    if split not in SEARCHABLE_SPLITS:
        reason = "a search never sees the test set" if split == "test" else "a search is judged on images kept apart"
        raise InvalidFile(f"{name!r} cannot be searched for: {reason}{_near(f'validation/{rest}')}")
    if found.direction == "none":
        raise InvalidFile(f"{name!r} cannot be searched for: neither high nor low values of it are better")
    return found


def known_names() -> list[str]:
    """Every full name without a number or a key in it, sorted."""
    return sorted(
        f"{split}/{rest}"
        for rest in METRICS
        for split in SPLITS
        if split == "train" or rest.split("/")[0] not in TRAINING_PROTOCOLS
    )


def _look_up(rest: str) -> Metric | None:
    if rest in METRICS:
        return METRICS[rest]
    return next((found for pattern, found in PATTERNS.items() if re.fullmatch(pattern, rest)), None)


def _near(name: str) -> str:
    return nearest(name, known_names())
