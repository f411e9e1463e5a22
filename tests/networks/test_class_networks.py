"""Networks about classes and groups: what they count, share and keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raycon.collectives import gather_rows
from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.losses.group_dro import group_dro_step
from raycon.networks.auxiliary import Shapes
from raycon.networks.class_complement import ClassComplement
from raycon.networks.class_frequencies import ClassFrequencies
from raycon.networks.cosine_classifier import CosineClassifier, cosine_logits
from raycon.networks.group_weights import GroupWeights
from raycon.networks.prototypes import Prototypes
from raycon.runs import World
from raycon.state import State
from raycon.training import Batches, train
from tests.training.trials import small_trial

BALANCED: dict[str, Any] = {
    "data": {
        "dataset": "digits",
        "train_size": 400,
        "validation_size": 100,
        "long_tail": {"imbalance": 4},
    },
    "objective": {
        "logit_adjusted_cross_entropy": {"views": [0]},
        "balanced_contrastive": {"views": [1, 2], "weight": 0.3},
    },
    "networks": {"cosine_classifier": {}, "class_complement": {}},
    "training__views": 3,
    "scores": {"linear_probe": {}, "shots": {}},
}
ROBUST: dict[str, Any] = {
    "data": {
        "dataset": "digits",
        "bias": {"rate": 0.9},
        "groups": ["class", "aligned"],
        "reveal": ["groups"],
        "train_size": 160,
        "validation_size": 100,
    },
    "objective": {"group_dro": {}},
    "networks": {"group_weights": {"step_size": 0.5, "size_adjustment": 1.0}},
    "scores": {"linear_probe": {}},
}
LEARNED: dict[str, Any] = {"objective": {"esupcon": {}, "tightness": {}}}


def _shapes(classes: int = 3, groups: int = 4) -> Shapes:
    nothing = nn.Identity()
    return Shapes(1, 8, 6, 5, classes, groups, nothing, nothing, lambda: (nothing, nothing))


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_cosine_logits_ignore_lengths() -> None:
    rows, weights = _random(4, 2, 6), _random(3, 6, seed=1)
    logits = CosineClassifier(_shapes(), scale=30.0)(rows, weights)["logits"]
    scaled = cosine_logits(7 * rows, weights * torch.tensor([[0.1], [1.0], [10.0]]), scale=30.0)
    torch.testing.assert_close(logits, scaled)
    expected = 30 * torch.cosine_similarity(rows[1, 0], weights[2], dim=0)
    torch.testing.assert_close(logits[1, 0, 2], expected)
    assert not list(CosineClassifier(_shapes()).parameters())


def test_cosines_keep_their_precision_under_mixed_precision() -> None:
    rows, weights = _random(4, 2, 6), _random(3, 6, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = CosineClassifier(_shapes())(rows, weights)["logits"]
    assert torch.equal(made, cosine_logits(rows, weights, scale=30.0))


@pytest.mark.parametrize("training", [True, False])
def test_prototypes_are_unit_rows_in_the_space_of_the_features(training: bool) -> None:
    torch.manual_seed(0)
    complement = ClassComplement(_shapes()).train(training)
    for made in (complement(_random(3, 6))["prototypes"], Prototypes(_shapes())()["prototypes"]):
        assert made.shape == (3, 5)
        torch.testing.assert_close(made.norm(dim=1), torch.ones(3))
    assert not list(complement.buffers())


@pytest.mark.parametrize("changes", [BALANCED, ROBUST, LEARNED], ids=["balanced", "robust", "learned"])
def test_every_trained_parameter_gets_a_gradient(changes: Mapping[str, Any]) -> None:
    trial = small_trial(**changes)
    state, batches = _ready(trial)
    state.step(batches.batch(0))[0].backward()
    for name, parameter in state.step.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def _ready(trial: Trial) -> tuple[State, Batches]:
    tables = load_tables(trial.data, split_seed=0)
    state = State(trial)
    batches = Batches(trial, tables["train"], World(), parts=len(state.step.plan.drawing))
    batches.begin_epoch(1)
    return state, batches


def test_class_weights_get_the_gradient_of_both_branches() -> None:
    state, batches = _ready(small_trial(**BALANCED))
    weights = dict(state.step.named_parameters())["networks.class_weights.rows"]
    gradients = []
    for term in ("logit_adjusted_cross_entropy", "balanced_contrastive"):
        other = {"logit_adjusted_cross_entropy": "balanced_contrastive"}.get(term, "logit_adjusted_cross_entropy")
        objective = {**BALANCED["objective"], other: {**BALANCED["objective"][other], "weight": 0.0}}
        part, _ = _ready(small_trial(**(BALANCED | {"objective": objective})))
        part.step.load_state_dict(state.step.state_dict())
        part.step(batches.batch(0))[0].backward()
        found = dict(part.step.named_parameters())["networks.class_weights.rows"].grad
        assert found is not None and found.abs().max() > 0
        gradients.append(found)
    state.step(batches.batch(0))[0].backward()
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, gradients[0] + gradients[1])


def test_frequencies_are_those_of_the_training_labels() -> None:
    trial = small_trial(**BALANCED)
    state = State(trial)
    network = state.step.auxiliaries["class_frequencies"]
    assert isinstance(network, ClassFrequencies)
    torch.testing.assert_close(network()["class_frequencies"], torch.full((10,), 0.1))
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    next(train(trial, tables, state, World()))
    counts = torch.bincount(tables["train"].attributes["class"], minlength=10)
    assert counts[0] >= 3.5 * counts[9] > 0
    torch.testing.assert_close(network()["class_frequencies"], counts / counts.sum())


def test_group_weights_are_moved_before_the_loss_and_only_while_training() -> None:
    network = GroupWeights(_shapes(), step_size=0.5, size_adjustment=2.0, absent="zero")
    network.counts.copy_(torch.tensor([9.0, 4.0, 1.0, 0.0]))
    log_weights = network.log_weights.clone()
    for step in range(3):
        logits, labels, groups = _random(8, 1, 3, seed=step), torch.arange(8) % 3, torch.arange(8) % 2
        made = network(logits.requires_grad_(), labels, groups)["group_weights"]
        _, log_weights = group_dro_step(
            logits[:, 0], labels, groups, log_weights, network.counts, step_size=0.5, size_adjustment=2.0
        )
        torch.testing.assert_close(made, log_weights.exp())
        assert not made.requires_grad
    network.eval()
    assert torch.equal(network(_random(2, 1, 3), torch.tensor([0, 1]), torch.tensor([0, 1]))["group_weights"], made)
    assert gather_rows(made) is made  # one worker: nothing to gather


@pytest.mark.parametrize("changes", [BALANCED, ROBUST, LEARNED], ids=["balanced", "robust", "learned"])
def test_a_run_that_is_saved_and_reopened_at_every_yield_is_the_uninterrupted_one(
    changes: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)
    trial = small_trial(**changes)
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    whole = State(trial)
    expected = [_numbers(event.metrics) for event in train(trial, tables, whole, World())]
    state, seen = State(trial), []
    while (event := next(train(trial, tables, state, World()), None)) is not None:
        seen.append(_numbers(event.metrics))
        folder = tmp_path / str(len(seen))
        state.save(folder)
        torch.manual_seed(len(seen))
        state = State(trial)
        state.load(folder)
    assert len(seen) > 4 and seen == expected
    stored = state.step.state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in whole.step.state_dict().items())


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("train/speed/")}


def test_a_group_that_a_batch_lacks_keeps_its_last_loss() -> None:
    remembering = GroupWeights(_shapes(), step_size=1.0)
    forgetting = GroupWeights(_shapes(), step_size=1.0, absent="zero")
    logits, labels = _random(4, 1, 3), torch.tensor([0, 1, 2, 0])
    losses = torch.nn.functional.cross_entropy(logits[:, 0], labels, reduction="none")
    for network in (remembering, forgetting):
        network(logits, labels, torch.tensor([0, 1, 2, 3]))
        network(logits[:1], labels[:1], torch.tensor([0]))
    torch.testing.assert_close(remembering.log_weights, (2 * losses).log_softmax(0))
    torch.testing.assert_close(forgetting.log_weights, (losses * torch.tensor([2.0, 1.0, 1.0, 1.0])).log_softmax(0))


def test_group_weights_move_toward_the_groups_in_conflict_with_the_colour() -> None:
    trial = small_trial(**(ROBUST | {"training__epochs": 8}))
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    state = State(trial)
    events = list(train(trial, tables, state, World()))
    network = state.step.auxiliaries["group_weights"]
    assert isinstance(network, GroupWeights)
    weights = network.log_weights.exp()
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    # The last attribute of a group varies fastest: odd groups are those whose colour is the label's own.
    assert weights[0::2].sum() > 2 * weights[1::2].sum()
    logged = events[-1].metrics["train/objective/group_dro_largest_weight"]
    assert 1 / 20 < logged <= 1
