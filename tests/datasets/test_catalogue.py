from __future__ import annotations

import subprocess
import sys

import pytest

from raycon.config import Bias, Data
from raycon.datasets import DATASETS, describe
from raycon.datasets.catalogue import coarse_classes
from raycon.errors import InvalidFile


def test_describing_loads_no_torch() -> None:
    code = (
        "import sys; from raycon.datasets import describe; from raycon.config import Data; describe(Data());"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'sklearn', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_shipped_map_is_complete() -> None:
    for info in DATASETS.values():
        assert len(info.mean) == len(info.std) == info.channels
        for name, coarse in info.coarse.items():
            assert coarse_classes(info, dict(enumerate(coarse.of))) == coarse.of, name
            assert len(coarse.names) == max(coarse.of) + 1


def test_two_class_map_of_fashion_mnist_is_the_one_of_the_effects() -> None:
    of = coarse_classes(DATASETS["fashion_mnist"], "clothes_accessories")
    assert {label for label in range(10) if of[label] == 1} == {5, 7, 8, 9}


def test_plain_data_offer_their_classes_alone() -> None:
    described = describe(Data(dataset="fashion_mnist"))
    assert (described.channels, described.size, described.attributes, described.revealed) == (1, 28, {"class": 10}, ())


def test_bias_gives_colours_of_the_labels() -> None:
    data = Data(
        dataset="fashion_mnist",
        coarse="clothes_shoes_bags",
        labels="coarse",
        bias=Bias(),
        reveal=("bias_labels",),
        groups=("coarse", "colour"),
    )
    described = describe(data)
    assert described.channels == 3
    assert described.attributes == {"class": 10, "coarse": 3, "colour": 3, "aligned": 2}
    assert described.revealed == ("bias_labels",)


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (Data(dataset="digit"), "data.dataset", "did you mean 'digits'"),
        (Data(labels="clas"), "data.labels", "did you mean 'class'"),
        (Data(labels="coarse"), "data.labels", "set data.coarse"),
        (Data(labels="colour", bias=Bias()), "data.labels", "binds the colour"),
        (Data(coarse="low_hihg"), "data.coarse", "did you mean 'low_high'"),
        (Data(coarse={0: 0, 1: 1}), "data.coarse", "no coarse class for class 2, 3"),
        (Data(coarse={label: label % 2 for label in range(11)}), "data.coarse", "classes 0 to 9, not 10"),
        (Data(coarse=dict.fromkeys(range(10), 0)), "data.coarse", "at least two"),
        (Data(coarse={label: 3 * (label % 2) for label in range(10)}), "data.coarse", "without a gap, not 0, 3"),
        (Data(reveal=("bias_label",), bias=Bias()), "data.reveal", "did you mean 'bias_labels'"),
        (Data(reveal=("bias_labels",)), "data.reveal", "data.bias, which is not set"),
        (Data(groups=("class", "colour")), "data.groups", "set data.bias"),
        (Data(groups=("color",), bias=Bias()), "data.groups", "did you mean 'colour'"),
        (Data(groups=("class", "class")), "data.groups", "twice"),
    ],
)
def test_wrong_names_are_answered_with_field_and_remedy(data: Data, field: str, words: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        describe(data)
    assert caught.value.field == field
    assert words in caught.value.reason


def test_more_values_than_colours_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    wide = replace(DATASETS["digits"], attributes={"class": 11})
    monkeypatch.setitem(DATASETS, "digits", wide)
    with pytest.raises(InvalidFile, match="11 values"):
        describe(Data(bias=Bias()))


def test_colours_need_grey_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], channels=3))
    with pytest.raises(InvalidFile, match="grey"):
        describe(Data(bias=Bias()))
