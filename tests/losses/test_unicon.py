"""UniCon where the formula degenerates, and how its two forms relate to SupCon."""

from __future__ import annotations

import math

import pytest
import torch

from raycon.losses import supcon, unicon, unicon_append
from tests.losses.catalogue import Inputs, inputs, value_and_gradients


def _case() -> Inputs:
    return inputs("unicon")


def test_universum_equal_to_the_real_rows_is_supcon() -> None:
    case = _case()
    loss = unicon(case["features"], case["features"], case["labels"], temperature=0.3)
    torch.testing.assert_close(loss, supcon(case["features"], case["labels"], temperature=0.3))


def test_the_anchors_own_mixture_does_not_matter() -> None:
    case = inputs("unicon", views=1, labels=(0, 0, 1))
    _, (_, gradient) = value_and_gradients("unicon", case, {"contrast": "first_view"})
    assert gradient[2].norm() > 0  # it is a negative of the others
    alone = inputs("unicon", views=1, labels=(0, 1))
    loss, gradients = value_and_gradients("unicon", alone, {})
    assert loss == 0 and not any(gradient.any() for gradient in gradients)


def test_an_anchor_without_positives_stays_in_the_mean() -> None:
    rows = torch.eye(5, dtype=torch.float64)[:, None]
    paired = unicon(rows[:4], rows[:4], torch.tensor([0, 0, 1, 1]))
    assert paired.item() == pytest.approx(math.log(3))
    one_more = unicon(rows, rows, torch.tensor([0, 0, 1, 1, 2]))
    assert one_more.item() == pytest.approx(4 / 5 * math.log(4))


def test_base_temperature_rescales() -> None:
    case = _case()
    plain = unicon(**case, temperature=0.2)
    torch.testing.assert_close(unicon(**case, temperature=0.2, base_temperature=0.1), 2 * plain)


def test_far_universum_rows_leave_supcon() -> None:
    case = _case()
    assert unicon_append(**case) > supcon(case["features"], case["labels"])
    rows = torch.nn.functional.normalize(case["features"].abs(), dim=-1)
    opposite = unicon_append(rows, -rows, case["labels"], temperature=0.01)
    torch.testing.assert_close(opposite, supcon(rows, case["labels"], temperature=0.01))


def test_universum_of_another_shape_is_refused() -> None:
    case = _case()
    with pytest.raises(ValueError, match="universum_features must be of the shape"):
        unicon(case["features"], case["universum_features"][:, :1], case["labels"])
