"""Identities of the terms that compare with a momentum network or a queue: SCE, RenyiCL, NNCLR."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from raycon.losses import (
    infonce,
    mutual_information,
    nearest_neighbour_infonce,
    renyi,
    renyi_surrogate,
    sce,
    sce_of_pairs,
    sce_target,
)


def _rows(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(values, dim=-1)


def test_sce_with_all_weight_on_the_own_key_is_infonce_against_the_queue() -> None:
    queries, keys, queue = _rows(6, 4), _rows(6, 4, seed=1), _rows(9, 4, seed=2)
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], dim=1) / 0.2
    expected = functional.cross_entropy(logits, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(sce_of_pairs(queries, keys, queue, temperature=0.2, mixing=1.0), expected)


@pytest.mark.parametrize("candidates", ["queue", "keys_and_queue"])
def test_the_two_forms_of_the_own_logit_differ_by_its_share(candidates: Any) -> None:
    """At logit 0 the own key takes 1 / (1 + sum) of the relations' part; masked it takes nothing."""
    keys, queue = _rows(5, 4), _rows(8, 4, seed=2)
    knobs: dict[str, Any] = {"momentum_temperature": 0.3, "mixing": 0.25, "candidates": candidates}
    masked, zero = (sce_target(keys, queue, self_logit=form, **knobs) for form in ("mask", "zero"))
    own = torch.arange(5) if candidates == "keys_and_queue" else torch.zeros(5, dtype=torch.int64)
    others = ~functional.one_hot(own, masked.shape[1]).bool()
    for target in (masked, zero):
        torch.testing.assert_close(target.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.equal(masked[~others], torch.full((5,), 0.25, dtype=torch.float64))
    share = (zero[~others] - 0.25) / 0.75
    torch.testing.assert_close(zero[others].view(5, -1), masked[others].view(5, -1) * (1 - share)[:, None])
    assert bool((share > 0.01).all())


def test_sce_one_way_compares_view_zero_of_the_momentum_network_with_the_later_views() -> None:
    features, momentum, queue = _rows(5, 3, 4), _rows(5, 2, 4, seed=1), _rows(7, 4, seed=2)
    found = sce(features, momentum, queue, symmetric=False)
    expected = [sce_of_pairs(features[:, view], momentum[:, 0], queue) for view in (1, 2)]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    torch.testing.assert_close(found, sce(features, momentum[:, :1], queue, symmetric=True))
    pairs = [(1, 0), (2, 0), (0, 1), (2, 1)]
    both = [sce_of_pairs(features[:, online], momentum[:, other], queue) for online, other in pairs]
    torch.testing.assert_close(sce(features, momentum, queue), torch.stack(both).mean())


def test_sce_without_a_queue_needs_no_queue() -> None:
    features, momentum = _rows(5, 2, 4), _rows(5, 2, 4, seed=1)
    empty = torch.empty(0, 4, dtype=torch.float64)
    assert sce(features, momentum, empty) == 0
    assert sce(features, momentum, empty, candidates="keys_and_queue") > 0


def test_sce_refuses_what_does_not_fit() -> None:
    features, queue = _rows(5, 2, 4), _rows(7, 4, seed=2)
    for momentum in (_rows(5, 3, 4), _rows(4, 2, 4), _rows(5, 2, 3), _rows(5, 4)):
        with pytest.raises(ValueError, match="momentum_features must be"):
            sce(features, momentum, queue)
    with pytest.raises(ValueError, match=r"queue must be \[any number, 4\]"):
        sce(features, features, _rows(7, 3))


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_renyi_and_its_surrogate_have_one_gradient_and_two_values(order: float) -> None:
    features, momentum = _rows(6, 3, 4).requires_grad_(), _rows(6, 2, 4, seed=1)
    knobs: dict[str, Any] = {"temperature": 0.3, "order": order, "skew": 0.05}
    objective, surrogate = renyi(features, momentum, **knobs), renyi_surrogate(features, momentum, **knobs)
    gradients = [torch.autograd.grad(loss.sum(), features)[0] for loss in (objective, surrogate)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)
    assert abs(objective - surrogate) > 0.1
    shares = renyi_surrogate(features, momentum, workers=3, **knobs)
    assert shares.shape == (3,)
    torch.testing.assert_close(shares.mean(), surrogate[0])


def test_renyi_is_continuous_at_order_one_in_float32() -> None:
    features, momentum = _rows(16, 2, 8).float(), _rows(16, 2, 8, seed=1).float()
    at_one = renyi(features, momentum, order=1.0)
    for step in (1e-3, 1e-5, 1e-7):
        for sign in (-1, 1):
            assert abs(renyi(features, momentum, order=1.0 + sign * step) - at_one) < 3 * step + 2e-6


def test_renyi_near_order_one_does_not_depend_on_the_way_it_is_computed() -> None:
    """Both ways meet where |order - 1| is a quarter of the temperature."""
    features, momentum = _rows(16, 2, 8), _rows(16, 2, 8, seed=1)
    below, above = (renyi(features, momentum, temperature=0.4, order=order) for order in (1.1 - 1e-9, 1.1 + 1e-9))
    assert abs(below - above) < 1e-7


def test_renyi_bound_of_pairs_that_do_not_differ_is_zero_and_never_above_the_skew_limit() -> None:
    same = torch.ones(5, 2, 3, dtype=torch.float64)
    assert abs(renyi(same, same)) < 1e-12
    sharp = torch.eye(6, dtype=torch.float64)[:, None].expand(6, 2, 6)
    for skew in (0.5, 0.1, 0.01):
        assert -renyi(sharp, sharp, temperature=0.01, skew=skew) <= 2 * math.log(1 / skew) + 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("skew", [None, 0.0, 1e-6, 1.0])
def test_renyi_is_finite_where_exponentials_overflow(dtype: torch.dtype, skew: float | None) -> None:
    features, momentum = _rows(6, 2, 8).to(dtype).requires_grad_(), _rows(6, 2, 8, seed=1).to(dtype)
    loss = renyi(features, momentum, temperature=0.002, order=2.0, skew=skew)
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.isfinite() and gradient.isfinite().all()
    assert mutual_information(features, momentum, temperature=0.002, skew=skew).isfinite()


def test_local_crops_are_sources_and_never_targets() -> None:
    features, momentum = _rows(5, 4, 3), _rows(5, 4, 3, seed=1)
    torch.testing.assert_close(renyi(features, momentum), renyi(features, momentum[:, :2]))
    assert not torch.isclose(renyi(features, momentum, targets=3), renyi(features, momentum))
    changed = features.clone()
    changed[:, 3] = _rows(5, 3, seed=7)
    assert not torch.isclose(renyi(changed, momentum), renyi(features, momentum))


@pytest.mark.parametrize("skew", [None, 0.0, 0.3, 1.0])
def test_the_estimate_of_the_mutual_information_is_the_formula(skew: float | None) -> None:
    features, momentum = _rows(5, 3, 4), _rows(5, 2, 4, seed=1)
    share = 1 / (5 * 2) if skew is None else skew
    estimates = []
    for target in (0, 1):
        for image in range(5):
            sources = [view for view in range(3) if view != target]
            logits = [[float(features[image, v] @ momentum[j, target]) / 0.5 for v in sources] for j in range(5)]
            different = [math.exp(f) for j in range(5) if j != image for f in logits[j]]
            alike = sum(math.exp(f) for f in logits[image]) / 2
            log_ratio = sum(logits[image]) / 2 - math.log(share * alike + (1 - share) * sum(different) / len(different))
            ratio = math.exp(log_ratio)
            if share < 1:
                estimates.append(math.log(max((1 - share) * ratio / (1 - share * ratio), 1e-10)))
    expected = sum(estimates) / len(estimates) if estimates else 0.0
    assert float(mutual_information(features, momentum, skew=skew)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("knobs", [{"skew": -0.1}, {"skew": 1.1}, {"order": 0.0}, {"targets": 0}])
def test_renyi_refuses_knobs_outside_their_range(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(knobs))} must be"):
        renyi(_rows(5, 2, 3), _rows(5, 2, 3), **knobs)


def test_a_view_that_is_its_own_neighbour_gives_infonce_across_views() -> None:
    features = _rows(6, 3, 4)
    found = nearest_neighbour_infonce(features, features, temperature=0.2)
    torch.testing.assert_close(found, infonce(features, temperature=0.2, contrast="cross_view"))


def test_decoupled_leaves_out_the_positive_alone() -> None:
    neighbours, predictions = _rows(4, 2, 3), _rows(4, 2, 3, seed=1)
    losses = []
    for looked_up, predicted in ((0, 1), (1, 0)):
        logits = neighbours[:, looked_up] @ predictions[:, predicted].T / 0.1
        others = logits.masked_fill(torch.eye(4, dtype=torch.bool), -math.inf)
        losses.append(others.logsumexp(dim=1) - logits.diagonal())
    found = nearest_neighbour_infonce(neighbours, predictions, decoupled=True)
    torch.testing.assert_close(found, torch.cat(losses).mean())
