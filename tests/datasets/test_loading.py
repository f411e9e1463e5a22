from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raycon.config import Bias, Data
from raycon.datasets import DATASETS, describe, load_tables
from raycon.datasets.loading import DECODED, LOADERS, SPLITS, _tables, check_table, forget_tables
from raycon.datasets.splits import content_numbers
from raycon.errors import InvalidFile
from tests.datasets.fakes import write_fashion_mnist


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_tables()
    yield
    forget_tables()


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake Fashion-MNIST of 200 training and 40 test images."""
    write_fashion_mnist(tmp_path, train=200, test=40)
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path))


def test_every_data_set_has_a_loader() -> None:
    assert {*LOADERS, *DECODED} == set(DATASETS)
    assert not {*LOADERS} & {*DECODED}


def test_test_images_come_only_when_asked_for() -> None:
    assert set(load_tables(Data(), split_seed=0)) == {"train", "validation"}
    assert set(load_tables(Data(), split_seed=0, splits=("test",))) == {"test"}
    with pytest.raises(ValueError, match="no split 'tests'"):
        load_tables(Data(), split_seed=0, splits=("tests",))


CONFIGURATIONS = [
    Data(dataset="fashion_mnist"),
    Data(dataset="fashion_mnist", coarse="clothes_accessories", labels="coarse"),
    Data(dataset="fashion_mnist", bias=Bias(), reveal=("bias_labels",), train_size=100),
    Data(dataset="fashion_mnist", bias=Bias(place="foreground", noise=0.02), coarse={k: k % 3 for k in range(10)}),
    Data(dataset="fashion_mnist", coarse="clothes_shoes_bags", labels="coarse", bias=Bias(rate=0.8)),
]


@pytest.mark.usefixtures("fashion")
@pytest.mark.parametrize("data", CONFIGURATIONS)
def test_tables_are_what_describe_said(data: Data) -> None:
    described = describe(data)
    for name, table in load_tables(data, split_seed=0, splits=SPLITS).items():
        assert table.images.dtype == torch.uint8
        assert tuple(table.images.shape[1:]) == (described.channels, described.size, described.size)
        assert dict(table.sizes) == dict(described.attributes)
        assert set(table.attributes) == set(described.attributes)
        for attribute, values in table.attributes.items():
            assert values.dtype == torch.int64, (name, attribute)
            assert 0 <= int(values.min()) <= int(values.max()) < table.sizes[attribute]
        assert len(table.mean) == len(table.std) == described.channels


@pytest.mark.usefixtures("fashion")
def test_the_bias_holds_in_training_alone() -> None:
    data = Data(dataset="fashion_mnist", bias=Bias(rate=0.9))
    tables = load_tables(data, split_seed=0, splits=SPLITS)
    assert float(tables["train"].attributes["aligned"].double().mean()) > 0.85
    for name in ("validation", "test"):
        assert float(tables[name].attributes["aligned"].double().mean()) < 0.25


@pytest.mark.usefixtures("fashion")
def test_images_do_not_depend_on_the_splits_asked_for() -> None:
    data = Data(dataset="fashion_mnist", bias=Bias())
    both = load_tables(data, split_seed=0, splits=SPLITS)
    for name in SPLITS:
        alone = load_tables(data, split_seed=0, splits=(name,))[name]
        assert torch.equal(alone.images[:], both[name].images[:])


def test_the_split_seed_moves_validation_but_not_test() -> None:
    first, second = (load_tables(Data(), split_seed=seed, splits=SPLITS) for seed in (0, 1))
    assert torch.equal(first["test"].images[:], second["test"].images[:])
    assert not torch.equal(first["validation"].images[:], second["validation"].images[:])


def test_labels_groups_and_reveal_do_not_change_the_images() -> None:
    plain = load_tables(Data(coarse="low_high"), split_seed=0)
    other = load_tables(Data(coarse="low_high", labels="coarse", groups=("class",)), split_seed=0)
    assert plain["train"] is other["train"]


def test_two_configurations_are_kept() -> None:
    first = load_tables(Data(), split_seed=0)
    load_tables(Data(), split_seed=1)
    assert load_tables(Data(), split_seed=0)["train"] is first["train"]
    load_tables(Data(), split_seed=2)
    assert _tables.cache_info().currsize == 2
    again = load_tables(Data(), split_seed=1)
    assert torch.equal(again["train"].images[:], load_tables(Data(), split_seed=1)["train"].images[:])


def test_a_caller_may_change_the_dictionary_it_gets() -> None:
    load_tables(Data(), split_seed=0).clear()
    assert set(load_tables(Data(), split_seed=0)) == {"train", "validation"}


def test_another_folder_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data(dataset="fashion_mnist")
    for train in (100, 200):
        write_fashion_mnist(tmp_path / str(train), train=train)
        monkeypatch.setenv("RAYCON_DATA", str(tmp_path / str(train)))
        assert len(load_tables(data, split_seed=0)["train"]) == train * 9 // 10


def test_splits_of_the_digits_are_disjoint_by_content() -> None:
    tables = load_tables(Data(), split_seed=0, splits=SPLITS)
    contents = content_numbers(torch.cat([tables[name].images[:] for name in SPLITS]))
    ends = torch.tensor([len(tables[name]) for name in SPLITS]).cumsum(0)[:-1]
    sets = [set(part.tolist()) for part in torch.tensor_split(contents, ends)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 1797


@pytest.mark.parametrize("data", [Data(train_size=1300), Data(validation_size=1345), Data(train_size=9)])
def test_sizes_that_cannot_be_met_are_refused(data: Data) -> None:
    with pytest.raises(InvalidFile, match=r"there are to split|cannot hold"):
        load_tables(data, split_seed=0)


def test_a_loader_that_lies_is_caught() -> None:
    table, info = LOADERS["digits"](), DATASETS["digits"]
    check_table(table, info)
    labels = table.attributes["class"]
    wrong = {
        "not uint8": replace(table, images=table.images[:].float()),
        r"\[1797, 1, 8, 4\], not": replace(table, images=table.images[:][..., :4]),
        "the catalogue says": replace(table, sizes={"class": 9}),
        "values of 'class' for 1797 images": replace(table, attributes={"class": labels[:-1]}),
        "from 1 to 10, not from 0 to 9": replace(table, attributes={"class": labels + 1}),
    }
    for words, changed in wrong.items():
        with pytest.raises(InvalidFile, match=words):
            check_table(changed, info)
