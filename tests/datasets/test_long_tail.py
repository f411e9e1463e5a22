"""Long tails: how many images of each label stay, and which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from raycon.config import Bias, Data, LongTail
from raycon.datasets import load_tables
from raycon.datasets.loading import forget_tables
from raycon.datasets.long_tail import long_tail_counts, thinned
from raycon.datasets.table import ImageTable
from tests.datasets.fakes import write_fashion_mnist


def _table(images: int = 50, classes: int = 4) -> ImageTable:
    """Every image is its own number."""
    rows = images * classes
    labels = torch.arange(rows) % classes
    return ImageTable(
        images=torch.arange(rows).to(torch.uint8).view(-1, 1, 1, 1),
        attributes={"class": labels, "coarse": labels // 2},
        sizes={"class": classes, "coarse": 2},
        splits={},
        mean=(0.5,),
        std=(0.5,),
    )


def test_counts_of_the_long_tailed_sets_of_the_field() -> None:
    cifar = long_tail_counts(10, 5000, 0.01, "exponential")
    assert cifar == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50] and sum(cifar) == 12406
    assert sum(long_tail_counts(10, 6000, 0.01, "exponential")) == 14886
    assert long_tail_counts(4, 50, 0.1, "step") == [50, 50, 5, 5]
    assert long_tail_counts(5, 50, 0.1, "step") == [50, 50, 5, 5, 5]
    assert long_tail_counts(1, 50, 0.1, "exponential") == [50]


def test_each_label_keeps_its_count_in_the_old_order() -> None:
    found = thinned(_table(), LongTail(imbalance=10.0), labels="class", seed=3)
    assert torch.bincount(found.attributes["class"]).tolist() == [50, 23, 10, 5]
    numbers = found.images[:].flatten().tolist()
    assert numbers == sorted(numbers)
    assert (found.attributes["class"] == found.images[:].flatten() % 4).all()
    coarse = thinned(_table(), LongTail(imbalance=10.0), labels="coarse", seed=3)
    assert torch.bincount(coarse.attributes["coarse"]).tolist() == [100, 10]


def test_which_images_stay_is_drawn_and_a_weaker_imbalance_keeps_more_of_the_same() -> None:
    weak, strong, other = (
        set(thinned(_table(), LongTail(imbalance=imbalance), labels="class", seed=seed).images[:].flatten().tolist())
        for imbalance, seed in ((5.0, 0), (20.0, 0), (20.0, 1))
    )
    assert strong < weak and len(other) == len(strong) and other != strong


def test_a_label_keeps_at_least_one_image() -> None:
    found = thinned(_table(), LongTail(kind="step", imbalance=1000.0), labels="class", seed=0)
    assert torch.bincount(found.attributes["class"]).tolist() == [50, 50, 1, 1]


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake Fashion-MNIST of 400 training and 40 test images."""
    write_fashion_mnist(tmp_path, train=400, test=40)
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path))
    forget_tables()
    yield
    forget_tables()


@pytest.mark.usefixtures("fashion")
def test_only_training_images_are_thinned_out_before_they_are_coloured() -> None:
    splits = ("train", "validation", "test")
    plain = load_tables(Data(dataset="fashion_mnist", validation_size=100), split_seed=0, splits=splits)
    data = Data(dataset="fashion_mnist", validation_size=100, long_tail=LongTail(imbalance=10.0))
    tailed = load_tables(data, split_seed=0, splits=splits)
    counts = torch.bincount(tailed["train"].attributes["class"], minlength=10).tolist()
    least = int(torch.bincount(plain["train"].attributes["class"], minlength=10).min())
    assert counts == long_tail_counts(10, least, 0.1, "exponential") and min(counts) > 0
    for split in ("validation", "test"):
        assert torch.equal(tailed[split].images[:], plain[split].images[:])
    coloured = load_tables(
        Data(dataset="fashion_mnist", validation_size=100, long_tail=LongTail(imbalance=10.0), bias=Bias(rate=1.0)),
        split_seed=0,
    )["train"]
    assert torch.bincount(coloured.attributes["class"], minlength=10).tolist() == counts
    assert coloured.attributes["aligned"].all()
