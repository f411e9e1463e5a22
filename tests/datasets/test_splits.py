from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raycon.datasets.places import RayconWarning
from raycon.datasets.splits import content_numbers, shares, stratified_sample, with_validation
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile
from tests.datasets.fakes import fake_table


def table_with_copies() -> ImageTable:
    """120 training images of 3 classes: rows 0 to 4 are copies of one image, 5 and 6 repeat test images."""
    table = fake_table([row % 3 for row in range(120)], [0, 1, 2] * 4)
    images = table.images[:].clone()
    images[1:5] = images[0]
    images[5], images[6] = images[120], images[125]
    return replace(table, images=images)


@pytest.mark.parametrize("seed", range(8))
def test_splits_are_disjoint_by_content_and_complete(seed: int) -> None:
    table = with_validation(table_with_copies(), seed=seed, validation_size=30)
    contents = content_numbers(table.images)
    sets = {name: set(contents[rows].tolist()) for name, rows in table.splits.items()}
    assert not sets["train"] & sets["validation"]
    assert not sets["train"] & sets["test"]
    assert not sets["validation"] & sets["test"]
    together = sorted(torch.cat([table.splits["train"], table.splits["validation"]]).tolist())
    assert together == [row for row in range(120) if row not in (5, 6)]
    assert len(table.splits["validation"]) == 30


def test_copies_go_to_validation_together_for_some_seed() -> None:
    """The invariant above would also hold if copies were simply kept out of validation."""
    found = [
        set(range(5))
        <= set(with_validation(table_with_copies(), seed=seed, validation_size=60).splits["validation"].tolist())
        for seed in range(20)
    ]
    assert any(found)
    assert not all(found)


def test_splits_are_stratified_and_seeded() -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 10
    table = fake_table(labels, [0, 1, 2])
    split = with_validation(table, seed=3, validation_size=20, train_size=40)
    assert torch.bincount(split.split("validation").attributes["class"]).tolist() == [12, 6, 2]
    assert torch.bincount(split.split("train").attributes["class"]).tolist() == [24, 12, 4]
    again = with_validation(table, seed=3, validation_size=20, train_size=40)
    other = with_validation(table, seed=4, validation_size=20, train_size=40)
    for name in ("train", "validation"):
        assert torch.equal(split.splits[name], again.splits[name])
        assert not torch.equal(split.splits[name], other.splits[name])
    assert torch.equal(split.splits["test"], other.splits["test"])


def test_train_size_leaves_validation_alone_and_nests() -> None:
    table = fake_table([row % 4 for row in range(200)], [0, 1, 2, 3])
    small, large = (with_validation(table, seed=1, train_size=size) for size in (40, 80))
    assert torch.equal(small.splits["validation"], large.splits["validation"])
    assert set(small.splits["train"].tolist()) < set(large.splits["train"].tolist())


def test_a_small_train_set_holds_every_class() -> None:
    table = fake_table([0] * 97 + [1] * 5, [0, 1])
    split = with_validation(table, seed=0, validation_size=10, train_size=3)
    assert torch.bincount(split.split("train").attributes["class"]).tolist() == [2, 1]


def test_default_validation_is_a_tenth() -> None:
    table = fake_table([row % 4 for row in range(200)], [0, 1, 2, 3])
    assert len(with_validation(table, seed=1).splits["validation"]) == 20


def test_a_class_with_one_image_keeps_it_in_train_with_a_warning() -> None:
    table = fake_table([0] * 20 + [1] * 20 + [2], [0, 1, 2])
    with pytest.warns(RayconWarning, match="class 2"):
        split = with_validation(table, seed=0, validation_size=10)
    assert 40 in split.splits["train"].tolist()
    assert torch.bincount(split.split("validation").attributes["class"]).tolist() == [5, 5]


def test_validation_that_copies_make_smaller_is_told() -> None:
    table = fake_table([0] * 10 + [1] * 10, [0, 1])
    images = table.images[:].clone()
    images[0:5], images[5:10] = images[0], images[5]
    with pytest.warns(RayconWarning, match="6 validation images instead of 10"):
        split = with_validation(replace(table, images=images), seed=0, validation_size=10)
    assert torch.bincount(split.split("validation").attributes["class"]).tolist() == [0, 6]


def test_an_empty_class_is_an_error() -> None:
    table = fake_table([0, 0, 2, 2, 2, 2], [0, 1, 2])
    with pytest.raises(InvalidFile, match="class 1 has no training image"):
        with_validation(table, seed=0)


def test_a_class_whose_images_all_repeat_test_images_is_an_error() -> None:
    table = fake_table([0, 0, 0, 1], [1])
    images = table.images[:].clone()
    images[3] = images[4]
    with pytest.raises(InvalidFile, match="class 1 has no training image"):
        with_validation(replace(table, images=images), seed=0)


@pytest.mark.parametrize(
    ("validation_size", "train_size", "field", "numbers"),
    [
        (29, None, "data.validation_size", ("29", "2 classes", "30")),
        (10, 21, "data.train_size", ("21", "10", "30")),
        (None, 28, "data.train_size", ("28", "3", "30")),
        (None, 1, "data.train_size", ("1", "2 classes")),
    ],
)
def test_impossible_sizes_are_answered_with_the_numbers(
    validation_size: int | None, train_size: int | None, field: str, numbers: tuple[str, ...]
) -> None:
    table = fake_table([row % 2 for row in range(30)], [0, 1])
    with pytest.raises(InvalidFile) as caught:
        with_validation(table, seed=0, validation_size=validation_size, train_size=train_size)
    assert caught.value.field == field
    for number in numbers:
        assert number in caught.value.reason


def test_the_largest_possible_sizes_work() -> None:
    table = fake_table([row % 2 for row in range(30)], [0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = with_validation(table, seed=0, validation_size=28)
        assert torch.bincount(split.split("train").attributes["class"]).tolist() == [1, 1]
        assert len(with_validation(table, seed=0, validation_size=10, train_size=20).splits["train"]) == 20


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=8), st.data())
def test_shares_keep_their_bounds_and_their_sum(classes: list[tuple[int, int]], data: st.DataObject) -> None:
    available = [count for count, _ in classes]
    least = [min(count, low) for count, low in classes]
    total = data.draw(st.integers(sum(least), sum(available)))
    dealt = shares(total, available, least)
    assert sum(dealt) == total
    assert all(low <= share <= count for low, share, count in zip(least, dealt, available, strict=True))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_shares_without_bounds_are_within_one_of_the_proportion(available: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(available)))
    dealt = shares(total, available, [0] * len(available))
    for share, count in zip(dealt, available, strict=True):
        assert abs(share - total * count / sum(available)) < 1


def test_shares_refuse_what_cannot_be_dealt() -> None:
    with pytest.raises(ValueError, match="cannot deal 5"):
        shares(5, [2, 2], [0, 0])


def test_a_sample_holds_rows_of_the_pool_only() -> None:
    labels = torch.tensor([0, 1] * 20)
    pool = torch.arange(10, 30)
    sample = stratified_sample(pool, labels, 8, seed=5)
    assert set(sample.tolist()) <= set(pool.tolist())
    assert torch.bincount(labels[sample]).tolist() == [4, 4]
    assert sample.tolist() == sorted(set(sample.tolist()))


def test_content_numbers_see_a_single_changed_byte() -> None:
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    images[1, 0, 3, 3] = 1
    assert content_numbers(images).tolist() == [0, 1, 0]
