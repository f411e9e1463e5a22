"""Learning from Failure: moving averages by image, weights by class, and their survival of interruptions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.networks.lff import LearningFromFailure
from raycon.runs import World
from raycon.state import State
from raycon.training import train
from tests.training.trials import small_trial

LFF: dict[str, Any] = {"objective": {"weighted_cross_entropy": {}}}
BOTH: dict[str, Any] = {
    "objective": {
        "weighted_cross_entropy": {},
        "mixed": {"term": "cross_entropy", "inputs": {"logits": "mixed_logits", "labels": "mixed_labels"}},
    },
    "transforms": {"selecmix": {}},
}


def _network(trial: Trial, labels: list[int]) -> LearningFromFailure:
    network = State(trial).step.auxiliaries["lff"]
    assert isinstance(network, LearningFromFailure)
    for name in network.sized_by_data:
        setattr(network, name, torch.zeros(len(labels)))
    network.image_labels = torch.tensor(labels)
    return network


def _cross_entropy(logits: Tensor, labels: list[int]) -> list[float]:
    """Each image's mean over views, by loops."""
    losses = []
    for views, label in zip(logits.double().tolist(), labels, strict=True):
        each = [math.log(sum(map(math.exp, scores))) - scores[label] for scores in views]
        losses.append(sum(each) / len(each))
    return losses


def test_weights_are_those_of_the_formula() -> None:
    labels = [0, 1, 0, 1, 0]
    network = _network(small_trial(**LFF), labels)
    kept: dict[int, tuple[float, float]] = {}
    for indices in ([0, 1, 2], [4, 2, 1]):
        own = [labels[i] for i in indices]
        logits = torch.randn(3, 2, 2)
        made = network(torch.randn(3, 2, 1, 8, 8), torch.tensor(own), logits, torch.tensor(indices))
        assert not made["sample_weights"].requires_grad and not made["bias_logits"].requires_grad
        new = zip(_cross_entropy(made["bias_logits"], own), _cross_entropy(logits, own), strict=True)
        for i, pair in zip(indices, new, strict=True):
            old = kept.get(i)
            kept[i] = pair if old is None else (0.7 * old[0] + 0.3 * pair[0], 0.7 * old[1] + 0.3 * pair[1])
        expected = []
        for i in indices:
            largest = [max(kept[j][n] for j in kept if labels[j] == labels[i]) for n in (0, 1)]
            biased, debiased = kept[i][0] / largest[0], kept[i][1] / largest[1]
            expected.append(biased / (biased + debiased))
        assert made["sample_weights"].tolist() == pytest.approx(expected, rel=1e-4)
    assert network.seen.tolist() == [1, 1, 1, 0, 1]


def test_both_networks_right_about_everything_gives_no_weight_and_no_nan() -> None:
    network = _network(small_trial(**LFF), [0, 0])
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor([200.0, -200.0]))
    sure = torch.tensor([[[200.0, -200.0]]] * 2)
    made = network(torch.randn(2, 1, 1, 8, 8), torch.tensor([0, 0]), sure, torch.tensor([0, 1]))
    assert made["sample_weights"].tolist() == [0.0, 0.0]


def test_every_parameter_learns_and_the_weights_leave_the_loss_alone() -> None:
    trial = small_trial(**LFF)
    state = State(trial)
    network = state.step.auxiliaries["lff"]
    assert isinstance(network, LearningFromFailure)
    for name in network.sized_by_data:
        setattr(network, name, torch.zeros(8))
    network.image_labels = torch.arange(8) % 2
    views, labels = torch.randn(8, 2, 1, 8, 8), torch.arange(8) % 2
    total, _ = state.step({"views": views, "labels": labels, "indices": torch.arange(8)})
    assert state.step.logged == ("weighted_cross_entropy", "lff")
    total.backward()
    assert all(parameter.grad is not None for parameter in state.step.parameters())


@pytest.mark.parametrize("parts", [LFF, BOTH], ids=["alone", "with_selecmix"])
def test_a_run_saved_and_reopened_at_every_yield_equals_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any]
) -> None:
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)
    trial = small_trial(**parts, scores={"nearest_neighbours": {}}, training__score_every=0)
    tables = load_tables(trial.data, split_seed=0)
    whole = State(trial)
    expected = len(list(train(trial, tables, whole, World())))
    state, told = State(trial), 0
    while next(train(trial, tables, state, World()), None) is not None:
        told += 1
        state.save(tmp_path / str(told))
        state = State(trial)
        state.load(tmp_path / str(told))
    assert told == expected
    values = state.step.state_dict()
    assert float(values["networks.lff.seen"].sum()) == 160
    for name, value in whole.step.state_dict().items():
        assert torch.equal(value, values[name]), name
