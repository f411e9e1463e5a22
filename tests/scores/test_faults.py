"""The fault matrix of scores: empty groups, labels of one image, wrong sizes, bad coarse maps, labels out of range."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from raycon.config import Data, Trial
from raycon.datasets import ImageTable, describe
from raycon.datasets.catalogue import DATASETS
from raycon.datasets.loading import check_table
from raycon.errors import InvalidFile
from raycon.scores import PROTOCOLS, Embedded, evaluate
from raycon.scores.groups import groups
from raycon.scores.probe import ProbeCache
from raycon.statistics import clopper_pearson
from tests.scores.blobs import blobs, further

KNOBS: dict[str, dict[str, Any]] = {name: {} for name in PROTOCOLS}
KNOBS |= {"estimated_groups": {"steps": 20}, "few_shot": {"episodes": 3}, "sgd_probe": {"epochs": 2}}
KNOBS |= {name: {"dataset": "fashion_mnist"} for name in ("out_of_distribution", "transfer")}
TRIAL = Trial(objective={"supcon": {}}, scores=KNOBS, data=Data(groups=("class", "aligned")))


def scored(train: Embedded, judged: Embedded) -> dict[str, float]:
    found = evaluate(TRIAL, {"train": train, "validation": judged}, "validation", further(train, judged))
    assert all(math.isfinite(value) for value in found.values())
    return {name.removeprefix("validation/"): value for name, value in found.items()}


def kept(split: Embedded, rows: torch.Tensor) -> Embedded:
    assert split.groups is not None
    return replace(
        split, embeddings=split.embeddings[rows], features=split.features[rows], labels=split.labels[rows],
        groups=split.groups[rows], attributes={name: values[rows] for name, values in split.attributes.items()},
    )  # fmt: skip


@pytest.mark.parametrize("empty", [{5}, {0, 1}, {0, 2, 3, 4, 5, 6, 7}])
def test_empty_groups_are_counted_and_the_worst_is_of_those_present(empty: set[int]) -> None:
    train, judged = blobs(seed=1), blobs(200, seed=2)
    assert judged.groups is not None
    present = torch.tensor([group not in empty for group in judged.groups.tolist()])
    judged = kept(judged, present)
    found = scored(train, judged)
    assert found["groups/missing"] == len(empty)
    each = {name: value for name, value in found.items() if name.startswith("groups/group_") and "accuracy" in name}
    assert len(each) == 8 - len(empty) and found["groups/worst_accuracy"] == min(each.values())
    assert not any(f"group_{group}_" in name for group in empty for name in found)
    assert found["groups/worst_low"] <= found["groups/worst_accuracy"] <= found["groups/worst_high"]


def test_a_group_of_one_image_has_its_exact_interval() -> None:
    train, judged = blobs(seed=1), blobs(100, seed=2)
    numbers = torch.zeros(100, dtype=torch.int64)
    numbers[17] = 1
    found = groups(train.embeddings, train.labels, judged.embeddings, judged.labels, numbers, 3, ProbeCache())
    right = int(found["group_1_accuracy"])
    assert (found["group_1_low"], found["group_1_high"]) == pytest.approx(clopper_pearson(right, 1, 1 - 0.05 / 2))
    assert (found["group_1_size"], found["smallest_size"], found["missing"]) == (1, 1, 1)


def test_labels_of_one_image_in_either_split() -> None:
    train, judged = blobs(seed=1), blobs(120, seed=2)
    for split in (train, judged):
        alone = torch.cat([(split.labels != 3).nonzero().flatten(), (split.labels == 3).nonzero().flatten()[:1]])
        few = kept(split, alone)
        found = scored(few, judged) if split is train else scored(train, few)
        assert 0 <= found["linear_probe/balanced_accuracy"] <= 1
        if split is train:  # five of a label with one image cannot be drawn
            assert "few_shot/accuracy_1" in found and "few_shot/accuracy_5" not in found


def test_one_image_and_one_label_can_be_judged() -> None:
    train, judged = blobs(seed=1), blobs(120, seed=2)
    single = kept(judged, torch.tensor([4]))
    found = evaluate(
        replace(TRIAL, scores={name: KNOBS[name] for name in KNOBS if name not in ("corruptions", "fine_tune")}),
        {"train": train, "validation": single}, "validation", further(train, judged),
    )  # fmt: skip
    assert all(math.isfinite(value) for value in found.values())
    assert found["validation/groups/missing"] == 7
    one = train.labels == 2
    scored(kept(train, one.nonzero().flatten()), judged)


def test_sizes_that_do_not_fit_are_named() -> None:
    split = blobs(50, seed=1)
    with pytest.raises(ValueError, match="features has 49 rows, embeddings have 50"):
        replace(split, features=split.features[1:])
    narrow = replace(split, embeddings=split.embeddings[:, :3])
    with pytest.raises(RuntimeError, match="size"):
        evaluate(replace(TRIAL, scores={"linear_probe": {}}), {"train": split, "validation": narrow}, "validation")


def images(size: int, channels: int = 1, labels: int = 10, dtype: torch.dtype = torch.uint8) -> ImageTable:
    return ImageTable(
        images=torch.zeros(20, channels, size, size, dtype=dtype), attributes={"class": torch.arange(20) % labels},
        sizes={"class": 10}, splits={}, mean=(0.0,), std=(1.0,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (images(9), r"\[20, 1, 9, 9\], not uint8 \['n', 1, 8, 8\]"),
        (images(8, channels=3), r"\[20, 3, 8, 8\]"),
        (images(8, dtype=torch.float32), "torch.float32"),
        (images(8, labels=12), "run from 0 to 11, not from 0 to 9"),
    ],
)
def test_wrong_images_and_labels_are_refused_before_anything_is_judged(table: ImageTable, words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        check_table(table, DATASETS["digits"])


@pytest.mark.parametrize(
    ("coarse", "words"),
    [({0: 0, 1: 1}, "coarse"), ({**dict.fromkeys(range(10), 0), 10: 1}, "10"), ("low_hihg", "did you mean 'low_high'")],
)
def test_coarse_maps_that_are_no_function_of_the_classes_are_refused(coarse: Any, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as refused:
        describe(Data(coarse=coarse, labels="coarse"))
    assert (refused.value.field or "").startswith("data.coarse")


def test_coarse_labels_that_differ_within_a_class_are_refused() -> None:
    train, judged = blobs(seed=1), blobs(120, seed=2)
    mixed = train.attributes["coarse"].clone()
    mixed[0] = 1 - mixed[0]
    broken = replace(train, attributes={**train.attributes, "coarse": mixed})
    with pytest.raises(ValueError, match="no function of the classes"):
        evaluate(replace(TRIAL, scores={"coarse_to_fine": {}}), {"train": broken, "validation": judged}, "validation")
