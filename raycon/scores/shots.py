"""Who pays for a long tail: accuracy on the classes with many, some and few training images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import Count, NonNegative, Positive
from raycon.scores.probe import ProbeCache

Classifier = Literal["probe", "class_means"]


def shots(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    probes: ProbeCache,
    *,
    classifier: Classifier = "probe",
    many: Positive = 100.0,
    few: Positive = 20.0,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracies of classes, by how many training images they have; every class of a group counts the same.

    `many_accuracy`, `medium_accuracy`, `few_accuracy`: classes with more than `many`, with `few` to `many`, and with
    fewer than `few` training images (Liu et al. 2019, arXiv 1904.05160). `head_accuracy`, `middle_accuracy`,
    `tail_accuracy`: the third of the classes with the most, those between, and the third with the fewest training
    images, rounded down (3, 4 and 3 of ten), which says more where there are few classes. `worst_class_accuracy` is
    the least of any class, `class_accuracy` the mean over classes; both count the classes that the images judged have.
    A group without such a class has no value.

    classifier: `probe` is that of `linear_probe`, fitted on the long tail as it is, so it favours the head;
    `class_means` takes the class whose mean of unit embeddings has the largest cosine, for which all classes are alike.
    """
    if classifier == "probe":
        predicted = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2).predict(embeddings)
    else:
        predicted = nearest_class_means(train_embeddings, train_labels, embeddings)
    found, accuracies = shot_accuracies(predicted, labels, train_labels, many=many, few=few)
    metrics = {f"{name}_accuracy": value for name, value in found.items()}
    present = accuracies[~accuracies.isnan()]
    return metrics | {
        "worst_class_accuracy": float(present.min()),
        "class_accuracy": float(present.mean()),
    }


def shot_accuracies(
    predicted: Tensor,
    labels: Tensor,
    train_labels: Tensor,
    *,
    many: float = 100,
    few: float = 20,
    empty: float | None = None,
) -> tuple[dict[str, float], Tensor]:
    """Mean accuracy of each group of classes, and the accuracy of every class, float64 [K], NaN for one that `labels`
    lack. K: one more than the largest label.

    predicted, labels: [n], of the images judged. train_labels: [m]. empty: the value of a group without any class; None
    leaves it out. Public code (`shot_acc` of Liu et al. 2019 and after) has 0 there, which reads as a failure.
    """
    classes = 1 + int(max(labels.max(), train_labels.max()))
    sizes = torch.bincount(train_labels, minlength=classes)
    judged = torch.bincount(labels, minlength=classes)
    right = torch.bincount(labels[predicted == labels], minlength=classes)
    accuracies = right.double() / judged  # 0 / 0 is NaN: not judged
    third = classes // 3
    rank = sizes.argsort(descending=True, stable=True).argsort()
    groups = {
        "many": sizes > many,
        "medium": (sizes >= few) & (sizes <= many),
        "few": sizes < few,
        "head": rank < third,
        "middle": (rank >= third) & (rank < classes - third),
        "tail": rank >= classes - third,
    }
    found = {}
    for name, members in groups.items():
        values = accuracies[members & (judged > 0)]
        if len(values):
            found[name] = float(values.mean())
        elif empty is not None:
            found[name] = empty
    return found, accuracies


def nearest_class_means(train_embeddings: Tensor, train_labels: Tensor, embeddings: Tensor) -> Tensor:
    """The class of each row, int64 [n], whose mean of unit training rows has the largest cosine with it; equal cosines
    go to the smaller label, labels without training images are never predicted."""
    return nearest_to_means(train_embeddings, train_labels, functional.normalize(embeddings.double(), dim=1))


def nearest_to_means(train_embeddings: Tensor, train_labels: Tensor, units: Tensor) -> Tensor:
    """As `nearest_class_means`, of rows that are of unit length already, float64 [n, E]."""
    present, index = torch.unique(train_labels, return_inverse=True)
    unit = functional.normalize(train_embeddings.double(), dim=1)
    sums = unit.new_zeros(len(present), unit.shape[1]).index_add_(0, index, unit)
    nearest: Tensor = present[(units @ functional.normalize(sums, dim=1).T).argmax(dim=1)]
    return nearest
