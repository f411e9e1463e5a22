"""FairKL with continuous bias scores: `fairkl` where the scores are 0 or 1, and something between elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from raycon.losses import fairkl, fairkl_scores
from tests.losses.catalogue import BIAS_LABELS, inputs, value_and_gradients

VARIANTS: list[Any] = ["kl", "jeffreys", "means", "moments"]


def _one_hot(bias_labels: Tensor, views: int) -> Tensor:
    return functional.one_hot(bias_labels, 4).double()[:, None].expand(-1, views, -1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize(
    ("labels", "bias_labels"),
    [
        ((0, 0, 1, 1, 2, 0, 1), BIAS_LABELS),
        ((0, 0, 1, 1, 1), (0, 1, 0, 0, 0)),  # a single conflicting positive pair
        ((0, 0, 0, 0, 0), (0, 1, 0, 0, 2)),  # no negatives
        ((0, 0, 1, 1, 2), (3, 3, 3, 3, 3)),  # nothing conflicts
        ((0, 1, 2, 3, 3), (0, 1, 2, 3, 0)),  # hardly anything is aligned
    ],
)
def test_equals_fairkl_where_scores_are_zero_or_one(
    variant: Any, views: int, labels: tuple[int, ...], bias_labels: tuple[int, ...]
) -> None:
    case = inputs("fairkl", views=views, labels=labels, bias_labels=bias_labels)
    hard, hard_gradients = value_and_gradients("fairkl", case, {"variant": variant})
    features = case["features"].requires_grad_()
    scores = _one_hot(case["bias_labels"], views)
    soft = fairkl_scores(features, case["labels"], scores, variant=variant)
    assert_close(soft, hard)
    assert_close(torch.autograd.grad(soft, features)[0], hard_gradients[0])


def test_the_threshold_makes_half_aligned_pairs_conflicting() -> None:
    """Cosine 0.5 between the images of different bias: over a threshold of 0.5 they are as if orthogonal."""
    case = inputs("fairkl")
    orthogonal = _one_hot(case["bias_labels"], 2)[..., :2]
    slanted = orthogonal @ torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]]).double()
    arguments = (case["features"], case["labels"])
    hard = fairkl(**case, variant="moments")
    assert_close(fairkl_scores(*arguments, slanted, threshold=0.5), hard)
    assert not torch.isclose(fairkl_scores(*arguments, slanted), hard, rtol=1e-3)


def test_scores_between_give_something_between() -> None:
    """Half-aligned pairs on both sides pull the two groups together: the gap shrinks."""
    case = inputs("fairkl")
    orthogonal = _one_hot(case["bias_labels"], 2)[..., :2]
    slanted = orthogonal @ torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]]).double()
    arguments = (case["features"], case["labels"])
    values = [fairkl_scores(*arguments, scores, variant="means").item() for scores in (orthogonal, slanted)]
    assert 0 < values[1] < values[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_identical_bias_features_are_zero_without_gradient(variant: Any) -> None:
    """Rounding leaves weights of 1e-16 on the conflicting side: no group, whatever their mean is."""
    case = inputs("fairkl")
    scores = functional.normalize(torch.full((7, 2, 3), 0.1).double(), dim=-1)
    features = case["features"].requires_grad_()
    loss = fairkl_scores(features, case["labels"], scores, variant=variant)
    assert loss.item() == 0.0
    assert not torch.autograd.grad(loss, features)[0].any()


def test_a_threshold_of_one_is_refused() -> None:
    case = inputs("fairkl_scores")
    with pytest.raises(ValueError, match="threshold must be from 0 to below 1"):
        fairkl_scores(**case, threshold=1.0)


def test_views_of_the_two_features_must_agree() -> None:
    case = inputs("fairkl_scores")
    with pytest.raises(ValueError, match="must be"):
        fairkl_scores(case["features"], case["labels"], case["bias_features"][:, :1])
