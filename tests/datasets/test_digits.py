from __future__ import annotations

import torch

from raycon.datasets.catalogue import DIGITS
from raycon.datasets.digits import digits
from raycon.datasets.splits import content_numbers

HELD_OUT = [1, 5, 7, 21, 25]


def test_digits_fill_the_grey_range_and_match_the_catalogue() -> None:
    table = digits()
    assert table.images.shape == (1797, 1, 8, 8)
    assert table.images.dtype == torch.uint8
    assert set(table.images[:].flatten().tolist()) == {round(level * 255 / 16) for level in range(17)}
    train = table.split("train").images[:] / 255
    assert abs(float(train.mean()) - DIGITS.mean[0]) < 5e-4
    assert abs(float(train.std()) - DIGITS.std[0]) < 5e-4


def test_the_held_out_quarter_is_fixed_stratified_and_disjoint() -> None:
    first, second = digits(), digits()
    assert torch.equal(first.splits["test"], second.splits["test"])
    assert first.splits["test"][:5].tolist() == HELD_OUT
    assert len(first.splits["test"]) == 449
    assert sorted(torch.cat([first.splits["train"], first.splits["test"]]).tolist()) == list(range(1797))
    share = torch.bincount(first.split("test").attributes["class"]) / torch.bincount(first.attributes["class"])
    assert float((share - 0.25).abs().max()) < 0.01
    contents = content_numbers(first.images)
    assert not torch.isin(contents[first.splits["train"]], contents[first.splits["test"]]).any()
