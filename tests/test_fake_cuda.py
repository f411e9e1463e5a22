"""GPU paths without a GPU: fake CUDA tensors have a device and no values.

Mixed devices raise, and so does whatever asks a tensor for its value (`.item()`, `if tensor`, `tensor.tolist()`): on a
GPU that would wait for the device at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from raycon.config import Trial
from raycon.datasets import describe
from raycon.losses import MEASURES, TERMS
from raycon.networks.image_prototypes import ImagePrototypes
from raycon.objective import tiny_tensors
from raycon.signatures import read_signature
from raycon.step import Step
from raycon.transforms import TRANSFORMS
from raycon.vocabulary import DRAWS
from tests.losses.catalogue import default_settings, label
from tests.shipped import FILES, fullest_trial
from tests.training.trials import small_trial
from tests.training.varied import SPECIAL


def _on_fake_cuda() -> dict[str, torch.Tensor]:
    return {name: values.to("cuda") for name, values in tiny_tensors(views=3, images=8).items()}


@pytest.mark.parametrize(("name", "knobs"), default_settings(), ids=label)
def test_terms_and_their_measures_stay_on_the_device(name: str, knobs: dict[str, Any]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = _on_fake_cuda()
        inputs = [tensors[argument] for argument in read_signature(TERMS[name]).names]
        loss = TERMS[name](*inputs, **knobs)
        measures = [
            measure(*inputs, **{knob: knobs[knob] for knob in read_signature(measure).knobs})
            for measure in MEASURES.get(name, {}).values()
        ]
    assert {value.device.type for value in (loss, *measures)} == {"cuda"}
    assert all(value.shape == () for value in (loss, *measures))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_stay_on_the_device(name: str) -> None:
    transform = TRANSFORMS[name]
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = _on_fake_cuda()
        made = transform(*[tensors[argument] for argument in read_signature(transform).names])
    assert {value.device.type for value in made.values()} == {"cuda"}


def _batch(trial: Trial, parts: int) -> dict[str, torch.Tensor]:
    described = describe(trial.data)
    images, views, side = 8, trial.training.views, described.size
    batch = {
        "views": torch.randn(images, views, described.channels, side, side, device="cuda"),
        "draws": torch.rand(images, parts, DRAWS, device="cuda"),
    }
    labels = ("labels", "indices", *described.revealed)
    return batch | {name: torch.zeros(images, dtype=torch.int64, device="cuda") for name in labels}


def _second_head() -> Trial:
    return small_trial(objective={"supcon": {"inputs": {"features": "twin_features"}}, "infonce": {}})


FURTHER = {name: SPECIAL[name] for name in ("mixed", "classes", "negatives", "scored")} | {"second head": _second_head}
"""Trials with the parts that no shipped file has in its fullest corner."""


@pytest.mark.parametrize("name", [*FILES, *FURTHER])
def test_a_step_of_every_shipped_file_stays_on_the_device(name: str) -> None:
    """Encoder, transforms, networks and terms; the way back needs a real device."""
    trial = FURTHER[name]() if name in FURTHER else fullest_trial(name)
    trial = replace(trial, training=replace(trial.training, precision="float32"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):  # construction alone: in a step, what forgets its device must be found out
            step = Step(trial, describe(trial.data))
        batch = _batch(trial, len(step.plan.drawing))
        for network in step.auxiliaries.values():
            if isinstance(network, ImagePrototypes):  # k-means reads values, between epochs; what follows it does not
                network.follow(batch["indices"], lambda rows: batch["views"])
        total, logged = step(batch)
        step.after_step()
    assert total.device.type == logged.device.type == "cuda"
    assert len(logged) == len(step.logged)


def test_images_in_chunks_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the generator of random numbers, which only a real device has."""
    monkeypatch.setattr("raycon.networks.chunked._same_draws", lambda seed, device: nullcontext())
    trial = small_trial(training__chunk=12)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            step = Step(trial, describe(trial.data))
        total, _ = step(_batch(trial, len(step.plan.drawing)))
    assert total.device.type == "cuda"


def _on_another_device(features: torch.Tensor) -> torch.Tensor:
    return (features[0, 0] * torch.ones(features.shape[-1])).sum()


def _asking_the_device(features: torch.Tensor) -> torch.Tensor:
    return features.sum() * features.max().item()


@pytest.mark.parametrize("wrong", [_on_another_device, _asking_the_device])
def test_what_is_wrong_on_a_gpu_raises(wrong: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(Exception, match=r"device|_local_scalar_dense"):
        wrong(_on_fake_cuda()["features"])
