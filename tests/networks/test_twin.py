"""A second backbone learns from its own terms alone, is judged beside the first, and builds no head in vain."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raycon.config import Trial
from raycon.datasets import describe
from raycon.step import Step
from tests.training.trials import small_trial

THANOS: dict[str, Any] = {
    "spread": {},
    "cross_entropy": {},
    "twin_reconstruction": {"term": "reconstruction", "inputs": {"reconstruction": "twin_reconstruction"}},
    "twin_cross_entropy": {"term": "cross_entropy", "inputs": {"logits": "twin_logits"}},
}
ON_TWIN_FEATURES: dict[str, Any] = {
    "cross_entropy": {},
    "twin_supcon": {"term": "supcon", "inputs": {"features": "twin_features"}},
}


def _step(objective: dict[str, Any]) -> tuple[Trial, Step]:
    torch.manual_seed(0)
    trial = small_trial(objective=objective)
    return trial, Step(trial, describe(trial.data))


def _batch() -> dict[str, torch.Tensor]:
    return {"views": torch.randn(8, 2, 1, 8, 8), "labels": torch.arange(8) % 2}


@pytest.mark.parametrize("objective", [THANOS, ON_TWIN_FEATURES, THANOS | ON_TWIN_FEATURES])
def test_every_parameter_has_a_gradient(objective: dict[str, Any]) -> None:
    _, step = _step(objective)
    step(_batch())[0].backward()
    assert [name for name, parameter in step.named_parameters() if parameter.grad is None] == []


def test_heads_are_built_for_features_that_are_asked_for() -> None:
    assert list(_step(THANOS)[1].networks) == ["classifier", "twin", "twin_decoder", "twin_classifier"]
    assert len(list(_step(THANOS)[1].head.parameters())) == 4
    step = _step(ON_TWIN_FEATURES)[1]
    assert len(list(step.networks["twin_head"].parameters())) == 4
    assert not list(step.head.parameters())


def test_the_backbones_do_not_hear_of_one_another() -> None:
    _, step = _step(THANOS)
    total = step(_batch())[0]
    whole = {name: gradient for name, gradient in _gradients(step, total)}
    _, alone = _step({name: THANOS[name] for name in ("spread", "cross_entropy")})
    alone.load_state_dict({name: value for name, value in step.state_dict().items() if "twin" not in name})
    step_again = _batch()
    first = dict(_gradients(alone, alone(step_again)[0]))
    second = dict(_gradients(step, step(step_again)[0]))
    for name, gradient in first.items():
        assert torch.allclose(gradient, second[name], atol=1e-6), name
    assert any("networks.twin.encoder" in name for name in whole)


def _gradients(step: Step, total: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    names, parameters = zip(*step.named_parameters(), strict=True)
    return list(zip(names, torch.autograd.grad(total, parameters), strict=True))


def test_it_is_drawn_by_itself_and_judged_beside_the_first() -> None:
    _, step = _step(THANOS)
    step.eval()
    images = torch.randn(4, 1, 8, 8)
    embeddings, features = step.represent(images)
    own, _ = step.embed(images)
    assert embeddings.shape == (4, 2 * step.encoder.width) and features.shape == (4, 8)
    assert torch.equal(embeddings[:, : step.encoder.width], own)
    assert not torch.allclose(embeddings[:, step.encoder.width :], own, atol=1e-3)


def test_twin_features_have_unit_rows() -> None:
    _, step = _step(ON_TWIN_FEATURES)
    step(_batch())
    assert torch.allclose(step.last["twin_features"].norm(dim=2), torch.ones(8, 2))
