from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raycon.config import Bias
from raycon.datasets.biased import BACKGROUND_COLOURS, FOREGROUND_COLOURS, bias_counts, biased
from raycon.datasets.coarse import coarse
from raycon.datasets.table import ImageTable
from tests.datasets.fakes import fake_table


def split_table(labels: list[int]) -> ImageTable:
    return fake_table(labels, []).split("train")


def counts_by_hand(images: int, rate: float, others: int) -> tuple[int, list[int]]:
    """Deals the images out one by one, as the public code slices its index list."""
    queue = list(range(images))[int(images * rate) :]
    chunk = -(-len(queue) // others)
    dealt = [queue[turn * chunk : (turn + 1) * chunk] for turn in range(others)]
    return images - len(queue), [len(part) for part in dealt]


@given(st.integers(0, 300), st.floats(0, 1), st.integers(1, 12))
def test_counts_equal_the_slow_oracle(images: int, rate: float, others: int) -> None:
    aligned, conflicting = bias_counts(images, rate, others)
    assert (aligned, conflicting) == counts_by_hand(images, rate, others)
    assert aligned + sum(conflicting) == images


def test_counts_equal_the_golden_vectors() -> None:
    folder = os.environ.get("RAYCON_GOLDEN")
    if not folder:
        pytest.skip("RAYCON_GOLDEN is not set")
    files = sorted(Path(folder).glob("biased_split_*.npz"))
    assert files
    for path in files:
        case = np.load(path)
        others = int(case["n_confusing"])
        aligned, conflicting = bias_counts(int(case["n_per_class"]), float(case["rho"]), others)
        for label in range(10):
            assert aligned == case["aligned_per_class"][label]
            expected = case["conflicting_sorted_desc"][label].tolist()
            assert sorted(conflicting, reverse=True) + [0] * (len(expected) - others) == expected


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.9, 0.95, 1.0])
def test_training_colours_have_the_counts(rate: float) -> None:
    table = biased(split_table([0] * 37 + [1] * 20 + [2] * 11), Bias(rate=rate), labels="class", seed=1, bound=True)
    for label, images in enumerate((37, 20, 11)):
        aligned, conflicting = bias_counts(images, rate, 2)
        found = torch.bincount(table.attributes["colour"][table.attributes["class"] == label], minlength=3).tolist()
        assert found.pop(label) == aligned
        assert sorted(found) == sorted(conflicting)
    assert table.sizes == {"class": 3, "colour": 3, "aligned": 2}
    same = table.attributes["colour"] == table.attributes["class"]
    assert torch.equal(table.attributes["aligned"], same.long())


def test_judged_colours_are_uniform_within_each_label() -> None:
    labels = [0] * 30 + [1] * 31 + [2] * 4
    table = biased(split_table(labels), Bias(rate=0.95), labels="class", seed=1, bound=False)
    for label in range(3):
        found = torch.bincount(table.attributes["colour"][table.attributes["class"] == label], minlength=3)
        assert int(found.max() - found.min()) <= 1


def test_the_seed_decides_which_image_gets_which_colour() -> None:
    table = split_table([0, 1, 2] * 20)
    for bound in (True, False):
        first, again, other = (
            biased(table, Bias(rate=0.5), labels="class", seed=seed, bound=bound).attributes["colour"]
            for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_the_seed_decides_which_other_colour_gets_a_single_image() -> None:
    table = split_table([0] * 10 + [1] * 10 + [2] * 10)
    seen = set()
    for seed in range(20):
        colours = biased(table, Bias(rate=0.9), labels="class", seed=seed, bound=True).attributes["colour"][:10]
        seen.add(int(colours.sum()))
    assert seen == {1, 2}


def test_background_takes_the_colour_and_the_foreground_stays_grey() -> None:
    table = split_table([0, 1, 2] * 5)
    assert isinstance(table.images, torch.Tensor)
    table.images[:, :, 0, 0] = 1
    painted = biased(table, Bias(rate=0.6), labels="class", seed=0, bound=True)
    assert painted.images.shape == (15, 3, 4, 4)
    for grey, image, colour in zip(
        table.images[:], painted.images[:], painted.attributes["colour"].tolist(), strict=True
    ):
        for y in range(4):
            for x in range(4):
                value = int(grey[0, y, x])
                expected = list(BACKGROUND_COLOURS[colour]) if value == 0 else [value] * 3
                assert image[:, y, x].tolist() == expected
    assert painted.mean == painted.std == (0.5, 0.5, 0.5)


def test_foreground_is_the_grey_image_times_the_colour() -> None:
    table = split_table([0, 1, 2] * 5)
    painted = biased(table, Bias(rate=0.6, place="foreground"), labels="class", seed=0, bound=True)
    for grey, image, colour in zip(
        table.images[:], painted.images[:], painted.attributes["colour"].tolist(), strict=True
    ):
        for channel in range(3):
            expected = (grey[0].double() * FOREGROUND_COLOURS[colour][channel]).round()
            assert (image[channel].double() - expected).abs().max() <= 1e-9


def test_noise_spreads_the_colours_of_a_label() -> None:
    table = split_table([0] * 400 + [1] * 400)
    assert isinstance(table.images, torch.Tensor)
    table.images[:] = 255
    painted = biased(table, Bias(rate=1.0, place="foreground", noise=0.05), labels="class", seed=0, bound=True)
    shades = painted.images[:400][:, :, 0, 0].double() / 255
    inner = shades[:, 1]
    assert abs(float(inner.mean()) - FOREGROUND_COLOURS[0][1]) < 0.01
    assert abs(float(inner.std()) - 0.05) < 0.01
    assert int(painted.images[:400][:, 0].max()) == 255
    assert int(painted.images[:400][:, 0].min()) > 180
    plain = biased(table, Bias(rate=1.0, place="foreground"), labels="class", seed=0, bound=True)
    assert torch.equal(plain.attributes["colour"], painted.attributes["colour"])
    assert bool((plain.images[:400] == plain.images[:1]).all())


def test_colours_follow_the_attribute_that_is_named() -> None:
    table = coarse(split_table([0, 1, 2, 3] * 10), (0, 0, 1, 1))
    painted = biased(table, Bias(rate=1.0), labels="coarse", seed=0, bound=True)
    assert torch.equal(painted.attributes["colour"], painted.attributes["coarse"])
    assert painted.sizes["colour"] == 2


def test_there_are_ten_different_colours() -> None:
    assert len(set(BACKGROUND_COLOURS)) == len(set(FOREGROUND_COLOURS)) == 10


@pytest.mark.parametrize("place", ["background", "foreground"])
def test_binary_digits_are_white_before_they_are_coloured(place: Literal["background", "foreground"]) -> None:
    table = split_table([0, 1, 2] * 8)
    digit = table.images[:][:, 0] > 0
    made = biased(table, Bias(rate=0.5, place=place, binary=True), labels="class", seed=4, bound=True)
    plain = biased(table, Bias(rate=0.5, place=place), labels="class", seed=4, bound=True)
    assert torch.equal(made.attributes["colour"], plain.attributes["colour"])
    pixels = made.images[:].movedim(1, 3)
    shades = torch.tensor(BACKGROUND_COLOURS if place == "background" else FOREGROUND_COLOURS)
    for row, colour in enumerate(made.attributes["colour"].tolist()):
        shade = shades[colour] if place == "background" else (shades[colour] * 255).round()
        inside, outside = pixels[row][digit[row]], pixels[row][~digit[row]]
        expected = torch.full((3,), 255) if place == "background" else shade
        assert bool((inside == expected.to(torch.uint8)).all())
        assert bool((outside == (shade if place == "background" else torch.zeros(3)).to(torch.uint8)).all())
