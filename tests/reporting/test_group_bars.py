"""Group bars: SciPy's exact intervals, corrected for the number of groups, and the numbers of the protocol `groups`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from raycon.reporting.figures import ORANGE
from raycon.reporting.group_bars import DRAWN, group_bars, group_picture
from raycon.scores.groups import groups as groups_protocol
from raycon.scores.probe import ProbeCache, fit_probe
from tests.reporting.images import has_colour, is_drawn, pixels

RIGHT = np.array([True] * 7 + [False] * 3 + [True] * 40 + [True, False])
GROUPS = np.array([0] * 10 + [2] * 40 + [3] * 2)
NAMES = ["first", "empty", "all right", "two images"]


def test_intervals_are_scipys_at_the_corrected_level() -> None:
    found = group_bars(RIGHT, GROUPS, NAMES)
    assert [bar.name for bar in found.bars] == ["first", "all right", "two images"] and found.missing == 1
    for bar, hits in zip(found.bars, (7, 40, 1), strict=True):
        wanted = binomtest(hits, bar.size).proportion_ci(1 - 0.05 / 3, method="exact")
        assert bar.accuracy == hits / bar.size
        assert bar.low == pytest.approx(wanted.low) and bar.high == pytest.approx(wanted.high)
    assert found.average == pytest.approx(48 / 52) and found.worst.name == "two images"
    assert found.low == min(bar.low for bar in found.bars) and found.high == min(bar.high for bar in found.bars)
    assert found.bias <= 0


def test_the_numbers_are_those_of_the_protocol() -> None:
    generator = torch.Generator().manual_seed(0)
    train, judged = torch.randn(200, 5, generator=generator), torch.randn(150, 5, generator=generator)
    labels = (train[:, 0] > 0).long()
    true, groups = (judged[:, 0] + judged[:, 1] > 0).long(), torch.randint(4, (150,), generator=generator)
    scores = groups_protocol(train, labels, judged, true, groups, 4, ProbeCache())
    right = (fit_probe(train, labels).predict(judged) == true).numpy()
    found = group_bars(right, groups.numpy(), [str(number) for number in range(4)])
    for number, bar in enumerate(found.bars):
        told = [scores[f"group_{number}_{name}"] for name in ("accuracy", "low", "high", "size")]
        assert [bar.accuracy, bar.low, bar.high, bar.size] == pytest.approx(told)
    worst = [scores[f"worst_{name}"] for name in ("accuracy", "low", "high", "bias")]
    assert [found.worst.accuracy, found.low, found.high, found.bias] == pytest.approx(worst)
    assert found.average == pytest.approx(scores["average_accuracy"])


def test_a_picture_marks_the_worst_group() -> None:
    drawn = group_picture("a title", group_bars(RIGHT, GROUPS, NAMES))
    assert is_drawn(drawn) and group_picture("a title", group_bars(RIGHT, GROUPS, NAMES)) == drawn
    # The bar is three quarters opaque on white.
    faded = "#" + "".join(f"{round(0.75 * int(ORANGE[p : p + 2], 16) + 63.75):02x}" for p in (1, 3, 5))
    assert has_colour(drawn, faded)


def test_of_many_groups_the_worst_are_drawn() -> None:
    generator = np.random.default_rng(0)
    found = group_bars(generator.random(4000) < 0.8, np.arange(4000) % 100, [f"group {n}" for n in range(100)])
    assert len(found.bars) == 100
    assert pixels(group_picture("t", found)).shape[0] < 110 * (2.2 + 0.27 * DRAWN)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one with images"):
        group_bars(RIGHT[:0], GROUPS[:0], NAMES)
