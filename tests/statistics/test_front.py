"""Membership of a noisy front: brute force, and what it says where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raycon.statistics import attained, drawn_means, noise_covariance, on_front


def _membership(points: object, covariance: object, freedom: int, **more: Any) -> NDArray[np.float64]:
    """The probability of each run to be on the front of the true means."""
    found = on_front(drawn_means(points, covariance, freedom, **more))  # type: ignore[arg-type]
    return np.asarray(found.mean(axis=0), dtype=np.float64)


def _slow_front(points: list[tuple[float, ...]]) -> list[bool]:
    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return all(a >= b for a, b in zip(one, other, strict=True)) and one != other

    return [not any(beats(other, point) for other in points) for point in points]


def test_the_front_is_that_of_a_slow_loop() -> None:
    points = np.random.default_rng(0).integers(0, 4, size=(200, 6, 3)).astype(float)
    for drawn, found in zip(points, on_front(points), strict=True):
        assert found.tolist() == _slow_front([tuple(point) for point in drawn.tolist()])


def test_the_noise_is_recovered() -> None:
    draw = np.random.default_rng(1)
    truth = np.array([[1.0, 0.6], [0.6, 2.0]])
    groups = [draw.multivariate_normal([5 * i, -i], truth, size=40) for i in range(50)]
    found, freedom = noise_covariance(list(groups))
    assert freedom == 50 * 39 and found == pytest.approx(truth, abs=0.1)


def test_too_little_noise_to_know_is_refused() -> None:
    with pytest.raises(ValueError, match="3 degrees of freedom are too few"):
        noise_covariance([[[0.0, 1.0], [1.0, 2.0], [0.5, 0.5], [0.2, 0.1]]])
    with pytest.raises(ValueError, match="same scores"):
        noise_covariance([[[0.0], [1.0]], [[0.0, 1.0]] * 5])


def test_sure_and_unsure_runs() -> None:
    points = [[10.0, 0.0], [0.0, 10.0], [5.0, 5.0], [5.0, 5.0], [1.0, 1.0]]
    found = _membership(points, np.eye(2) * 0.01, 30, generator=np.random.default_rng(0))
    assert found[0] == found[1] == 1.0 and found[4] == 0.0
    # Each of two equal runs is beaten in both scores by the other in a quarter of cases.
    assert found[2:4] == pytest.approx([0.75, 0.75], abs=0.03)


def test_probabilities_come_true_where_all_truths_are_alike_likely() -> None:
    """Truths from a wide prior, one noisy look at each: of the runs said to be on the front with 40 % to 60 %, about
    half are."""
    draw = np.random.default_rng(2)
    said, true = [], []
    for _ in range(400):
        truth = draw.uniform(-10, 10, size=(6, 2))
        seen = truth + draw.normal(0, 1, size=truth.shape)
        said.append(_membership(seen, np.eye(2), 1000, generator=draw, draws=200))
        true.append(on_front(truth[None])[0])
    chances, facts = np.concatenate(said), np.concatenate(true)
    for low, high in ((0.0, 0.1), (0.4, 0.6), (0.9, 1.01)):
        chosen = (chances >= low) & (chances < high)
        assert facts[chosen].mean() == pytest.approx(chances[chosen].mean(), abs=0.08), (low, high)


def test_few_degrees_of_freedom_spread_further() -> None:
    wide, narrow = (
        drawn_means([[0.0, 0.0]], np.eye(2), freedom, generator=np.random.default_rng(0), draws=20_000)
        for freedom in (4, 1000)
    )
    assert np.quantile(np.abs(wide), 0.99) > 1.5 * np.quantile(np.abs(narrow), 0.99)


def test_what_is_attained() -> None:
    drawn = np.array([[[0.0, 3.0], [2.0, 1.0]], [[0.0, 5.0], [2.0, 2.0]]])
    across = np.array([0.0, 1.0, 3.0])
    assert attained(drawn, across, 0.99).tolist() == [3.0, 1.0, -np.inf]
    with pytest.raises(ValueError, match="between 0 and 1"):
        attained(drawn, across, 1.0)
