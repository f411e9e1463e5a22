"""The auxiliary model of SelecMix: trained by its own loss alone, and on no batch but the whole one."""

from __future__ import annotations

from typing import Any

import torch

from raycon.datasets import describe, load_tables
from raycon.losses import generalised_supcon
from raycon.networks.bias_model import BiasModel
from raycon.objective import resolve
from raycon.runs import Scored, World
from raycon.state import State
from raycon.training import train
from tests.training.trials import small_trial

MIXED: dict[str, Any] = {
    "objective": {"cross_entropy": {"inputs": {"logits": "mixed_logits", "labels": "mixed_labels"}}},
    "transforms": {"selecmix": {}},
}


def _network(state: State) -> BiasModel:
    network = state.step.auxiliaries["bias_model"]
    assert isinstance(network, BiasModel)
    return network


def _batch(state: State) -> dict[str, torch.Tensor]:
    return {
        "views": torch.randn(8, 2, 1, 8, 8),
        "labels": torch.arange(8) % 2,
        "draws": torch.rand(8, len(state.step.plan.drawing), 32),
    }


def test_selecmix_asks_for_it_and_every_parameter_learns() -> None:
    trial = small_trial(**MIXED)
    keys = [part.key for part in resolve(trial, describe(trial.data)).providers]
    assert keys == ["bias_model", "selecmix", "convnet", "classifier"]
    state = State(trial)
    total, logged = state.step(_batch(state))
    assert state.step.logged == ("cross_entropy", "bias_model", "paired")
    assert logged.shape == (3,)
    total.backward()
    assert all(parameter.grad is not None for parameter in state.step.parameters())
    assert not list(state.step.head.parameters())  # no term looks at features: its head would stay as drawn


def test_its_features_are_unit_rows_without_gradient_and_its_loss_is_the_generalised_one() -> None:
    state = State(small_trial(**MIXED, networks__bias_model__width=7, networks__bias_model__temperature=0.3))
    network, batch = _network(state), _batch(state)
    features = network(batch["views"])["bias_features"]
    assert features.shape == (8, 2, 7) and not features.requires_grad
    torch.testing.assert_close(features.norm(dim=2), torch.ones(8, 2))
    loss = network.own_loss(batch)
    torch.testing.assert_close(
        loss.detach(), generalised_supcon(features, batch["labels"], temperature=0.3, amplification=0.7)
    )
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_training_logs_its_loss_and_the_share_of_paired_images() -> None:
    trial = small_trial(**MIXED, training__epochs=1)
    state = State(trial)
    start = {name: value.clone() for name, value in _network(state).named_parameters()}
    *_, last = train(trial, load_tables(trial.data, split_seed=0), state, World())
    assert isinstance(last, Scored)
    assert last.metrics["train/objective/paired"] == 1.0
    assert last.metrics["train/objective/bias_model"] > 0
    assert all(not torch.equal(value, start[name]) for name, value in _network(state).named_parameters())
