"""Wrappers that thin out, relabel or resample a table."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raycon.config import Bias, Data
from raycon.datasets import describe, load_tables
from raycon.datasets.balanced_groups import balanced_groups
from raycon.datasets.coarse_maps import CIFAR100_SUPERCLASSES, CIFAR100_UNBALANCED_SHARES, subclasses, without_gaps
from raycon.datasets.label_noise import noisy_labels
from raycon.datasets.resized import resized
from raycon.datasets.splits import content_numbers, with_validation
from raycon.datasets.table import ImageTable
from raycon.datasets.unbalanced import kept_counts, unbalanced
from raycon.errors import InvalidFile
from tests.datasets.fakes import fake_table

ROUND_STRAIGHT = (0.5, 1.0, 0.2, 0.1, 0.1, 1.0, 0.3)


def labelled(labels: list[int]) -> ImageTable:
    return fake_table(labels, []).split("train")


def test_subclasses_keep_their_shares() -> None:
    table = labelled([0] * 40 + [1] * 40 + [2] * 40 + [3] * 40)
    thin = unbalanced(table, (1, 0, 1, 1), (1.0, 0.5, 0.1), seed=3)
    # Class 1 is the first of coarse class 0; classes 0, 2, 3 are the first, second and third of coarse class 1.
    assert torch.bincount(thin.attributes["class"]).tolist() == [40, 40, 20, 4]
    places = content_numbers(torch.cat([table.images[:], thin.images[:]]))[160:]
    assert places.tolist() == sorted(set(places.tolist())), "without replacement, in the old order"
    less = unbalanced(table, (1, 0, 1, 1), (1.0, 0.25, 0.1), seed=3)
    assert set(content_numbers(torch.cat([table.images[:], less.images[:]]))[160:].tolist()) <= set(places.tolist())
    other = unbalanced(table, (1, 0, 1, 1), (1.0, 0.5, 0.1), seed=4)
    assert not torch.equal(other.images[:], thin.images[:])


@given(st.lists(st.integers(0, 600), min_size=1, max_size=6), st.floats(0.001, 1))
def test_counts_never_leave_a_subclass_empty_or_beyond_itself(images: list[int], share: float) -> None:
    for count, kept in zip(images, kept_counts(images, [share] * len(images)), strict=True):
        assert min(count, 1) <= kept <= count
        assert kept == min(count, 1) or abs(kept - count * share) <= 0.5


def test_the_shares_of_cifar100_u_fit_its_superclasses() -> None:
    assert {len(members) for members in subclasses(CIFAR100_SUPERCLASSES)} == {len(CIFAR100_UNBALANCED_SHARES)}
    assert kept_counts([500] * 5, CIFAR100_UNBALANCED_SHARES) == [500, 250, 100, 50, 50]


def test_numbers_without_gaps_keep_order_and_members() -> None:
    assert without_gaps((7, 3, 7, 9)) == (1, 0, 1, 2)


def test_shares_act_on_the_training_images_alone() -> None:
    data = Data(coarse="round_straight", labels="coarse", subclass_shares=ROUND_STRAIGHT)
    plain, thin = (
        load_tables(one, split_seed=0, splits=("train", "validation", "test"))
        for one in (Data(coarse="round_straight", labels="coarse"), data)
    )
    assert torch.equal(plain["validation"].images[:], thin["validation"].images[:])
    assert torch.equal(plain["test"].images[:], thin["test"].images[:])
    before, after = (torch.bincount(tables["train"].attributes["class"]).tolist() for tables in (plain, thin))
    shares = dict(zip((0, 2, 3, 5, 6, 8, 9), ROUND_STRAIGHT, strict=True)) | {1: 0.5, 4: 1.0, 7: 0.2}
    assert after == [round(count * shares[label]) for label, count in enumerate(before)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_noise_changes_its_share_to_other_labels(share: float) -> None:
    table = labelled([0, 1, 2, 3] * 50)
    noisy = noisy_labels(table, share, labels="class", seed=2)
    changed = noisy.attributes["class"] != table.attributes["class"]
    assert int(changed.sum()) == round(200 * share)
    assert torch.equal(noisy.attributes["noisy"], changed.long())
    assert noisy.sizes == {"class": 4, "noisy": 2}
    if share == 1.0:
        steps = (noisy.attributes["class"] - table.attributes["class"]) % 4
        assert torch.bincount(steps, minlength=4).tolist()[0] == 0
        assert min(torch.bincount(steps, minlength=4).tolist()[1:]) > 40
    assert not torch.equal(
        noisy_labels(table, 0.3, labels="class", seed=3).attributes["noisy"], noisy.attributes["noisy"]
    )


def test_noise_in_training_leaves_judged_labels_and_other_attributes_true() -> None:
    clean = Data(coarse="low_high", labels="coarse", bias=Bias())
    noisy = Data(coarse="low_high", labels="coarse", bias=Bias(), label_noise=0.4)
    assert describe(noisy).attributes == {**describe(clean).attributes, "noisy": 2}
    first, second = (load_tables(data, split_seed=0, splits=("train", "test")) for data in (clean, noisy))
    assert torch.equal(first["train"].images[:], second["train"].images[:])
    assert torch.equal(first["train"].attributes["class"], second["train"].attributes["class"])
    assert torch.equal(first["test"].attributes["coarse"], second["test"].attributes["coarse"])
    wrong = first["train"].attributes["coarse"] != second["train"].attributes["coarse"]
    assert abs(float(wrong.double().mean()) - 0.4) < 0.001
    assert int(second["test"].attributes["noisy"].sum()) == 0


def test_groups_are_cut_to_the_smallest_that_there_is() -> None:
    table = labelled([0] * 30 + [1] * 7)
    spot = torch.tensor([0] * 25 + [1] * 5 + [0] * 7)
    table = ImageTable(table.images, {**table.attributes, "spot": spot}, {"class": 2, "spot": 2}, {}, (0.3,), (0.4,))
    balanced = balanced_groups(table, ("class", "spot"), seed=1)
    assert torch.bincount(balanced.product(("class", "spot"))[0], minlength=4).tolist() == [5, 5, 5, 0]


def test_balanced_groups_are_made_after_the_colours() -> None:
    data = Data(bias=Bias(rate=0.7), groups=("aligned",), balance_groups=True)
    tables = load_tables(data, split_seed=0)
    assert len(set(torch.bincount(tables["train"].attributes["aligned"]).tolist())) == 1
    assert len(tables["validation"]) == len(load_tables(Data(), split_seed=0)["validation"])


@pytest.mark.parametrize("size", [8, 12, 28, 5])
def test_images_are_resampled_as_torchvision_does(size: int) -> None:
    from torchvision.transforms.v2.functional import resize

    table = fake_table([0, 1, 2], [1], size=8)
    made = resized(table, size)
    assert made.images.shape == (4, 1, size, size)
    theirs = resize(table.images[:].float(), [size, size], antialias=True).round().clamp(0, 255)
    assert torch.equal(made.images[:].float(), theirs)
    assert (resized(table, 8) is table) and (made.attributes is table.attributes)


def test_the_size_is_what_describe_says() -> None:
    data = Data(size=20, train_size=50)
    assert describe(data).size == 20
    assert load_tables(data, split_seed=0)["train"].images.shape == (50, 1, 20, 20)


def with_official_validation() -> ImageTable:
    table = fake_table([0, 1] * 20, [0, 1] * 5)
    images = table.images[:].clone()
    images[30], images[31] = images[3], images[44]
    rows = table.splits["train"]
    return ImageTable(
        images,
        table.attributes,
        table.sizes,
        {"train": rows[:30], "validation": rows[30:], "test": table.splits["test"]},
        table.mean,
        table.std,
    )


def test_an_official_validation_part_is_kept_apart_from_both_others() -> None:
    table = with_validation(with_official_validation(), seed=0)
    assert table.splits["validation"].tolist() == [30, *range(32, 40)]
    assert table.splits["train"].tolist() == [row for row in range(30) if row != 3]
    smaller = with_validation(with_official_validation(), seed=0, validation_size=4, train_size=10)
    assert set(smaller.splits["validation"].tolist()) < set(table.splits["validation"].tolist())
    assert torch.bincount(smaller.attributes["class"][smaller.splits["validation"]]).tolist() == [2, 2]
    assert len(smaller.splits["train"]) == 10


@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        ({"validation_size": 10}, "data.validation_size"),
        ({"train_size": 31}, "data.train_size"),
        ({"train_size": 1}, "data.train_size"),
    ],
)
def test_sizes_beyond_the_official_parts_are_refused(sizes: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        with_validation(with_official_validation(), seed=0, **sizes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (Data(subclass_shares=(1.0, 0.5)), "data.subclass_shares", "set data.coarse"),
        (Data(coarse="low_high", subclass_shares=(1.0, 0.5)), "data.subclass_shares", "has 5 classes"),
        (Data(coarse="low_high", subclass_shares=(1.0, 0.5, 0.5, 0.5, 0.0)), "data.subclass_shares", "greater than 0"),
        (Data(balance_groups=True), "data.balance_groups", "data.groups, which is empty"),
    ],
)
def test_what_a_wrapper_cannot_do_is_said(data: Data, field: str, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as caught:
        describe(data)
    assert caught.value.field == field
