"""The predictor's output has unit rows, full precision and a gradient for all that it is made of."""

from __future__ import annotations

import torch

from raycon.networks.auxiliary import Shapes
from raycon.networks.predictor import Predictor


def _predictor() -> Predictor:
    nothing = torch.nn.Identity()
    torch.manual_seed(0)
    return Predictor(Shapes(1, 8, 6, 4, 2, 1, nothing, nothing, lambda: (nothing, nothing)), hidden=7)


def test_features_become_unit_predictions_of_the_same_shape() -> None:
    network, features = _predictor(), torch.randn(6, 3, 4, requires_grad=True)
    made = network(features)["predictions"]
    assert made.shape == features.shape
    torch.testing.assert_close(made.norm(dim=2), torch.ones(6, 3))
    made[..., 0].sum().backward()
    assert features.grad is not None and features.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_views_share_the_statistics_of_the_batch() -> None:
    features = torch.randn(6, 2, 4)
    together = _predictor()(features)["predictions"]
    one_by_one = _predictor()(features.transpose(0, 1).reshape(12, 1, 4))["predictions"]
    torch.testing.assert_close(one_by_one.view(2, 6, 4).transpose(0, 1), together)


def test_under_autocast_rows_are_of_unit_length_in_full_precision() -> None:
    features = torch.randn(6, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = _predictor()(features)["predictions"]
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.norm(dim=2), torch.ones(6, 2))
