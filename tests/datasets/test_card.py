from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raycon.config import Bias, Data
from raycon.datasets import decoded
from raycon.datasets.card import content_hash, data_card, group_names
from raycon.datasets.digits import digits
from raycon.datasets.loading import forget_tables
from tests.datasets.test_celeba import write_celeba
from tests.datasets.test_waterbirds import write_waterbirds


def test_counts_are_those_of_the_tables() -> None:
    card = data_card(Data(coarse="low_high", labels="coarse", bias=Bias(), groups=("coarse", "aligned")), split_seed=1)
    assert list(card.counts) == ["train", "validation", "test"]
    train = card.counts["train"]
    assert list(train) == ["class", "coarse", "colour", "aligned", "coarse x aligned"]
    assert list(train["coarse"]) == ["below five", "five and above"]
    assert list(train["coarse x aligned"])[:2] == ["below five + conflicting", "below five + aligned"]
    assert {sum(counts.values()) for counts in train.values()} == {sum(train["class"].values())}
    assert sum(sum(part["class"].values()) for part in card.counts.values()) == 1797
    assert card.copies == 0
    assert "  coarse | below five: " in "\n".join(card.lines())


def test_the_cue_of_a_set_makes_its_groups(data_root: Path) -> None:
    write_waterbirds(data_root)
    train = data_card(Data(dataset="waterbirds", size=8), split_seed=0).counts["train"]
    assert list(train["class x background"]) == [
        f"{bird} + {place}" for bird in ("landbird", "waterbird") for place in ("land", "water")
    ]
    assert sum(train["class x background"].values()) == 16


def test_many_values_are_summed_up() -> None:
    card = data_card(Data(), split_seed=0)
    short = replace(card, counts={"train": {"class": {str(number): number + 5 for number in range(21)}}})
    assert "  class | 21 values of 5 to 25 images" in short.lines()


def test_the_hash_moves_with_images_labels_and_parts_alone() -> None:
    table = digits()
    first = content_hash(table)
    assert first == content_hash(digits())
    images = table.images[:].clone()
    images[5, 0, 0, 0] += 1
    labels = table.attributes["class"].clone()
    labels[0] = 1
    parts = {"train": table.splits["train"][1:], "test": table.splits["test"]}
    changed = [
        replace(table, images=images),
        replace(table, attributes={"class": labels}),
        replace(table, splits=parts),
    ]
    assert len({first, *map(content_hash, changed)}) == 4
    assert content_hash(replace(table, mean=(0.0,))) == first


def test_the_hash_is_the_same_from_disk_and_from_memory(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_celeba(data_root)
    data = Data(dataset="celeba", size=8)
    in_memory = data_card(data, split_seed=0)
    forget_tables()
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    assert data_card(data, split_seed=0) == in_memory


def test_names_of_groups_are_in_the_order_of_their_numbers() -> None:
    table = digits()
    table = replace(
        table,
        attributes={**table.attributes, "ink": torch.zeros(1797, dtype=torch.int64)},
        sizes={"class": 10, "ink": 2},
    )
    names = group_names(table.sizes, ("class", "ink"), {"ink": ("thin", "bold")})
    assert len(names) == table.product(("class", "ink"))[1]
    assert names[:3] == ["class 0 + thin", "class 0 + bold", "class 1 + thin"]
