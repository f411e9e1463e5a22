"""Every encoder takes the images it should, tells its width, and shares batch statistics."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raycon.config import Encoder
from raycon.errors import InvalidFile
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.encoders import build_encoder


@pytest.mark.parametrize(
    ("name", "channels", "size", "options"),
    [
        ("convnet", 1, 8, {"width": 4}),
        ("convnet", 3, 28, {"width": 4, "depth": 3, "embedding": 7}),
        ("convnet", 1, 8, {"width": 24, "norm": "group"}),
        pytest.param("resnet18", 1, 28, {"norm": "group"}, marks=pytest.mark.slow),
        pytest.param("resnet18", 1, 28, {}, marks=pytest.mark.slow),
        pytest.param("resnet18", 3, 96, {}, marks=pytest.mark.slow),
        pytest.param("resnet50", 3, 32, {"embedding": 16}, marks=pytest.mark.slow),
        pytest.param("vit_small", 1, 28, {}, marks=pytest.mark.slow),
    ],
)
def test_images_become_embeddings(name: str, channels: int, size: int, options: dict[str, Any]) -> None:
    encoder = build_encoder(Encoder(name=name, **options), channels=channels, size=size)
    result = encoder(torch.randn(2, channels, size, size))
    assert result.shape == (2, encoder.width)
    assert encoder.width == options.get("embedding", encoder.width)
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_no_encoder_holds_a_batch_normalisation_of_one_worker_alone() -> None:
    encoder = build_encoder(Encoder(), channels=1, size=28)
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, GlobalBatchNorm) for m in norms)


def test_groups_normalise_each_image_by_itself() -> None:
    encoder = build_encoder(Encoder(width=24, norm="group"), channels=1, size=8).train()
    groups = [layer.num_groups for layer in encoder.modules() if isinstance(layer, torch.nn.GroupNorm)]
    assert groups == [3, 3, 6, 6]  # of 24, 48, 96 and 96 channels
    images = torch.randn(5, 1, 8, 8)
    assert torch.allclose(encoder(images)[:2], encoder(images[:2]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": "vit_small", "norm": "group"}, "encoder.norm"),
        ({"norm": "group", "lipschitz": 1.0}, "encoder.lipschitz"),
    ],
)
def test_normalisations_that_an_encoder_cannot_have_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        build_encoder(Encoder(**options), channels=1, size=8)
    assert refused.value.field == field


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidFile, match="did you mean 'resnet18'"):
        build_encoder(Encoder(name="resnet19"), channels=1, size=28)


def test_one_worker_normalises_as_torch_does() -> None:
    ours, theirs = GlobalBatchNorm(3).double(), torch.nn.BatchNorm2d(3).double()
    images = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    assert torch.allclose(ours(images), theirs(images), atol=1e-12)
    assert torch.allclose(ours.eval()(images), theirs.eval()(images), atol=1e-12)
