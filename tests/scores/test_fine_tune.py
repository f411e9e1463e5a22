"""Fine-tuning: a copy is trained as a loop by hand would train it, and the encoder stays as it is."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raycon.datasets import ImageTable
from raycon.fine_tuning import EmbedRows, few_rows, tuned
from raycon.scores.fine_tune import fine_tune
from raycon.scores.probe import fit_probe
from raycon.seeding import derive_seed

KNOBS = {"images": 6, "epochs": 3, "batch_size": 8, "learning_rate": 0.05, "l2": 0.01}


def table(rows: int, seed: int, classes: int = 3) -> ImageTable:
    """Images whose class is where they are bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    images = torch.randint(0, 90, (rows, 1, 6, 6), generator=generator)
    for label in range(classes):
        images[labels == label, :, 2 * label] += 60
    return ImageTable(
        images=images.to(torch.uint8), attributes={"class": labels}, sizes={"class": classes}, splits={},
        mean=(0.2,), std=(0.3,),
    )  # fmt: skip


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.first = nn.Linear(36, 8)
        self.norm = nn.BatchNorm1d(8)
        with torch.no_grad():
            self.first.weight.copy_(0.2 * torch.randn(8, 36, generator=generator))
            self.first.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.first(images.flatten(1))))


TRAIN, JUDGED, ENCODER = table(60, 1), table(31, 2), Small()


def rows_of(model: nn.Module) -> EmbedRows:
    return lambda images, rows: model(images.images[rows].float() / 255)


def copied() -> tuple[nn.Module, EmbedRows]:
    model = copy.deepcopy(ENCODER).eval()
    return model, rows_of(model)


def test_it_equals_gradient_descent_by_hand() -> None:
    found = tuned(copied, TRAIN, "class", JUDGED, **KNOBS)  # type: ignore[arg-type]
    model, embed = copied()
    rows = few_rows(TRAIN.attributes["class"], 6)
    labels = TRAIN.attributes["class"][rows]
    with torch.no_grad():
        probe = fit_probe(embed(TRAIN, rows), labels, iterations=50, l2=0.01)
    weights, bias = probe.weights.clone().requires_grad_(), probe.bias.clone().requires_grad_()
    values = [*model.parameters(), weights, bias]
    velocities = [torch.zeros_like(value) for value in values]
    steps, step = 3 * math.ceil(18 / 8), 0
    for epoch in range(3):
        generator = torch.Generator().manual_seed(derive_seed(0, "fine_tune", 18, epoch))
        order = torch.randperm(18, generator=generator)
        for start in range(0, 18, 8):
            batch = order[start : start + 8]
            logits = (embed(TRAIN, rows[batch]) - probe.mean.float()) / probe.scale.float() @ weights + bias
            gradients = torch.autograd.grad(cross_entropy(logits, labels[batch]), values)
            norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
            rate = 0.05 * (1 + math.cos(math.pi * step / steps)) / 2
            with torch.no_grad():
                for value, velocity, gradient in zip(values, velocities, gradients, strict=True):
                    velocity.mul_(0.9).add_(gradient * min(1.0, 1 / norm))
                    value.sub_(rate * velocity)
            step += 1
    with torch.no_grad():
        embeddings = embed(JUDGED, torch.arange(31))
        expected = ((embeddings - probe.mean.float()) / probe.scale.float() @ weights + bias).argmax(dim=1)
    assert found.predicted is not None and torch.equal(found.predicted, expected)
    assert not torch.equal(embeddings, rows_of(ENCODER)(JUDGED, torch.arange(31)))
    with torch.no_grad():
        before = rows_of(copied()[0])(JUDGED, torch.arange(31))
    scored = fine_tune(before, JUDGED.attributes["class"], found)
    assert scored["accuracy"] == pytest.approx(float((expected == JUDGED.attributes["class"]).float().mean()))
    right = float((probe.predict(before) == JUDGED.attributes["class"]).float().mean())
    assert scored["probe_accuracy"] == pytest.approx(right)
    assert scored["accuracy"] > 0.5


def test_the_encoder_and_the_global_generator_stay_as_they_are() -> None:
    before = {name: value.clone() for name, value in ENCODER.state_dict().items()}
    modes = [part.training for part in ENCODER.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = tuned(copied, TRAIN, "class", JUDGED, **KNOBS)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        again = tuned(copied, TRAIN, "class", JUDGED, **KNOBS)  # type: ignore[arg-type]
    assert first.predicted is not None and again.predicted is not None
    assert torch.equal(first.predicted, again.predicted)
    assert all(torch.equal(value, before[name]) for name, value in ENCODER.state_dict().items())
    assert [part.training for part in ENCODER.modules()] == modes
    assert all(parameter.grad is None for parameter in ENCODER.parameters())


def test_few_rows_are_so_many_of_each_label_or_all() -> None:
    labels = torch.tensor([2] * 9 + [0] * 3 + [5] * 1 + [7] * 20)
    rows = few_rows(labels, 4)
    assert torch.bincount(labels[rows]).tolist() == [3, 0, 4, 0, 0, 1, 0, 4]
    assert len(set(rows.tolist())) == len(rows) and torch.equal(rows, few_rows(labels, 4))


def test_labels_of_one_image_and_labels_without_any_are_judged() -> None:
    lonely = table(40, 3)
    lonely.attributes["class"][:] = 0
    lonely.attributes["class"][5] = 1  # one image; label 2 has none
    found = tuned(copied, lonely, "class", JUDGED, **KNOBS)  # type: ignore[arg-type]
    assert found.predicted is not None and set(found.predicted.tolist()) <= {0, 1}


def test_what_diverges_has_no_accuracy() -> None:
    class Broken(Small):
        def forward(self, images: Tensor) -> Tensor:
            made = super().forward(images)
            return made * torch.inf if torch.is_grad_enabled() else made

    def broken() -> tuple[nn.Module, EmbedRows]:
        model = Broken().eval()
        return model, rows_of(model)

    found = tuned(broken, TRAIN, "class", JUDGED, **KNOBS)  # type: ignore[arg-type]
    assert found.predicted is None
    assert set(fine_tune(torch.zeros(31, 8), JUDGED.attributes["class"], found)) == {"probe_accuracy"}
