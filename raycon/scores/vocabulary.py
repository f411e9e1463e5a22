"""The names that a scorer's arguments may have, and how they are filled from the splits at hand."""

from __future__ import annotations

from collections.abc import Mapping

from raycon.scores.embedded import Embedded
from raycon.scores.probe import ProbeCache

SCORE_VOCABULARY: dict[str, str] = {
    "train_embeddings": "float32 [m, E]: the encoder's output on the training images, without augmentation",
    "train_features": "float32 [m, D], unit rows: the head's output on the training images",
    "train_labels": "int64 [m]: the attribute that `data.labels` names, on the training images",
    "train_classes": "int64 [m]: the attribute `class` on the training images",
    "train_coarse": "int64 [m]: the attribute `coarse` on the training images",
    "embeddings": "float32 [n, E]: the encoder's output on the images judged",
    "features": "float32 [n, D], unit rows: the head's output on the images judged",
    "labels": "int64 [n]: the attribute that `data.labels` names, on the images judged",
    "classes": "int64 [n]: the attribute `class` on the images judged",
    "coarse": "int64 [n]: the attribute `coarse` on the images judged",
    "aligned": "int64 [n]: 1 where the bias agrees with the class, 0 where it does not",
    "groups": "int64 [n]: the combination of the attributes in `data.groups`",
    "train_groups": "int64 [m]: the combination of the attributes in `data.groups`, on the training images",
    "group_count": "int: the number of groups, empty ones included",
    "corrupted": "Corrupted: embeddings of corrupted copies of some of the images judged",
    "outsiders": "float32 [k, E]: the encoder's output on images of another data set",
    "transferred": "Transferred: embeddings and classes of two splits of another data set",
    "fine_tuned": "FineTuned: what a copy of the encoder predicts after training on a few labels",
    "probes": "the probes fitted so far in this evaluation, shared by all protocols",
}
"""Positional names are closed, as they are for terms: a scorer asks by name for what it judges."""

FURTHER = frozenset({"corrupted", "outsiders", "transferred", "fine_tuned"})
"""What evaluation encodes beside the two splits, for the one protocol that asks for it (`raycon.further_images`)."""

ALWAYS = (
    frozenset(SCORE_VOCABULARY)
    - FURTHER
    - {"train_coarse", "coarse", "aligned", "groups", "train_groups", "group_count"}
)
"""What every data set and configuration offers."""

ABSENT: dict[str, str] = {
    "train_coarse": "coarse classes: give data.coarse",
    "coarse": "coarse classes: give data.coarse",
    "aligned": "a bias: give data.bias",
    "groups": "groups: give data.groups, for example [class, aligned]",
    "train_groups": "groups: give data.groups, for example [class, aligned]",
    "group_count": "groups: give data.groups, for example [class, aligned]",
    **dict.fromkeys(sorted(FURTHER), "further images encoded: see raycon.further_images"),
    "fine_tuned": "the encoder itself, to train a copy of it: raycon's own loop, or an embed that is an nn.Module",
}
"""What to say to someone whose configuration does not offer a name."""


def offered_names(attributes: set[str], groups: tuple[str, ...]) -> set[str]:
    """The names that data with these attributes, and these groups in its configuration, can fill."""
    names = set(ALWAYS | FURTHER)
    if "coarse" in attributes:
        names |= {"coarse", "train_coarse"}
    if "aligned" in attributes:
        names.add("aligned")
    if groups:
        names |= {"groups", "train_groups", "group_count"}
    return names


def fill_names(train: Embedded, judged: Embedded, further: Mapping[str, object]) -> dict[str, object]:
    """Every offered name with its value; the cache of probes is new. further: values of the names in FURTHER."""
    values: dict[str, object] = {
        "train_embeddings": train.embeddings,
        "train_features": train.features,
        "train_labels": train.labels,
        "train_classes": train.attributes["class"],
        "train_coarse": train.attributes.get("coarse"),
        "embeddings": judged.embeddings,
        "features": judged.features,
        "labels": judged.labels,
        "classes": judged.attributes["class"],
        "coarse": judged.attributes.get("coarse"),
        "aligned": judged.attributes.get("aligned"),
        "groups": judged.groups,
        "train_groups": train.groups,
        "group_count": judged.group_count if judged.groups is not None else None,
        "probes": ProbeCache(),
        **further,
    }
    return {name: value for name, value in values.items() if value is not None}
