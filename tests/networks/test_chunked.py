"""Images in chunks: the gradient of the whole batch to rounding, the memory of a chunk, and nothing drawn twice."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from torchvision.models.vision_transformer import EncoderBlock

from raycon.config import Encoder
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.chunked import InChunks, SequentialInChunks
from raycon.networks.encoders import build_encoder


def _convnet(**options: Any) -> InChunks:
    return build_encoder(Encoder(width=4, **options), channels=3, size=8)


def _bottlenecks() -> InChunks:
    """The block of ResNet-50, with and without a detour for what is added."""
    detour = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), GlobalBatchNorm(8))
    blocks = [
        Bottleneck(3, 2, downsample=detour, norm_layer=GlobalBatchNorm),
        Bottleneck(8, 2, norm_layer=GlobalBatchNorm),
    ]
    return SequentialInChunks(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _attention() -> InChunks:
    """The block of a ViT, on rows of pixels."""
    block = EncoderBlock(2, 8, 16, 0.0, 0.0)
    return SequentialInChunks(nn.Flatten(1, 2), block, nn.Flatten())


NETWORKS: dict[str, Callable[[], InChunks]] = {
    "four convolutions": _convnet,
    "three, bounded": lambda: _convnet(depth=3, embedding=5, lipschitz=0.8),
    "groups": lambda: _convnet(norm="group"),
    "bottlenecks": _bottlenecks,
    "attention": _attention,
}


def _pull(network: InChunks, images: Tensor) -> tuple[Tensor, ...]:
    """Rows, gradients and buffers after an objective that compares all rows with one another."""
    images = images.clone().requires_grad_()
    rows = network(images)
    aim = torch.linspace(-1, 1, rows.numel(), dtype=rows.dtype).view_as(rows)
    ((rows * aim).sum() + (rows @ rows.T).tanh().sum()).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    found = (rows.detach(), images.grad, *gradients, *(buffer.double() for buffer in network.buffers()))
    there = tuple(value for value in found if value is not None)
    assert len(there) == len(found)
    return there


@pytest.mark.parametrize("chunk", [1, 6])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_gradients_and_buffers_are_those_of_the_whole_batch(name: str, chunk: int) -> None:
    torch.manual_seed(0)
    whole = NETWORKS[name]().double().train()
    chunked = copy.deepcopy(whole)
    chunked.chunk = chunk
    images = torch.randn(7, 3, 8, 8, dtype=torch.float64)
    for expected, found in zip(_pull(whole, images), _pull(chunked, images), strict=True):
        assert torch.allclose(expected, found, rtol=1e-10, atol=1e-10)


def test_two_passes_before_one_way_back_keep_apart() -> None:
    """As in a step with mixed views: the bound's vectors and the statistics of each pass are its own."""
    torch.manual_seed(0)
    whole = _convnet(lipschitz=0.8).double().train()
    chunked = copy.deepcopy(whole)
    chunked.chunk = 4
    images = torch.randn(2, 9, 3, 8, 8, dtype=torch.float64)
    for network in (whole, chunked):
        (network(images[0]) @ network(images[1]).T).square().sum().backward()
    for expected, found in zip(whole.parameters(), chunked.parameters(), strict=True):
        assert expected.grad is not None and found.grad is not None
        assert torch.allclose(expected.grad, found.grad, rtol=1e-10, atol=1e-10)


def test_without_a_graph_the_rows_are_the_same() -> None:
    whole = _convnet().train()
    chunked = copy.deepcopy(whole)
    chunked.chunk = 4
    images = torch.randn(9, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(whole(images), chunked(images), atol=1e-5)
    assert torch.allclose(whole.eval()(images), chunked.eval()(images), atol=1e-5)


class _Noisy(InChunks):
    """Drops pixels; its only parameter is the slope of what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(3.0))
        self.drop = nn.Dropout(0.5)

    def whole(self, images: Tensor) -> Tensor:
        kept: Tensor = self.drop(images.flatten(1))
        return self.slope * kept


def test_random_draws_are_the_same_on_the_way_back() -> None:
    network = _Noisy().train()
    network.chunk = 2
    images = torch.rand(7, 3, 8, 8) + 1
    torch.manual_seed(5)
    rows = network(images)
    after = torch.rand(3)
    rows.sum().backward()
    assert network.slope.grad is not None
    assert torch.allclose(network.slope.grad * network.slope, rows.sum(), rtol=1e-5)
    patterns = [tuple((rows[number] == 0).tolist()) for number in range(7)]
    assert len(set(patterns)) == 7
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("name", ["four convolutions", "attention"])
def test_autocast_reaches_the_way_back(name: str) -> None:
    """Weights that were cast without a graph must not be used again with one."""
    torch.manual_seed(0)
    whole = NETWORKS[name]().train()
    chunked = copy.deepcopy(whole)
    chunked.chunk = 5
    images = torch.randn(13, 3, 8, 8)
    for network in (whole, chunked):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = network(images)
        rows.float().square().sum().backward()
    for expected, found in zip(whole.parameters(), chunked.parameters(), strict=True):
        assert expected.grad is not None and found.grad is not None
        likeness = nn.functional.cosine_similarity(expected.grad.flatten(), found.grad.flatten(), dim=0)
        assert float(likeness) > 0.98


class _Kept:
    """A tensor that autograd keeps, and whose bytes count until it is let go."""

    def __init__(self, tensor: Tensor, count: Callable[[int], None]):
        self.tensor = tensor
        weakref.finalize(self, count, -tensor.nbytes)
        count(tensor.nbytes)


def _most_kept(network: InChunks, images: Tensor) -> int:
    """The largest number of bytes that autograd kept at one time, forth and back."""
    now = most = 0

    def count(change: int) -> None:
        nonlocal now, most
        now += change
        most = max(most, now)

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Kept(tensor, count), lambda kept: kept.tensor):
        network(images).square().sum().backward()
    return most


@pytest.mark.parametrize("name", ["four convolutions", "groups", "bottlenecks"])
def test_memory_is_that_of_a_chunk(name: str) -> None:
    network = NETWORKS[name]().train()
    images = torch.randn(64, 3, 8, 8)
    whole = _most_kept(network, images)
    network.chunk = 8
    assert _most_kept(network, images) < whole / 4
