"""The gate passes what leaves shapes alone and refuses, with its numbers, what does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from raycon.errors import InvalidFile
from raycon.networks.translation.gate import Content, content_kept, edge_correlation
from tests.networks.translation.pictures import CLASSES, COLOURS, pictures


class _Recolour(nn.Module):
    """The perfect translator."""

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return images.amax(dim=1, keepdim=True) * COLOURS[targets][:, :, None, None]


class _Replace(nn.Module):
    """Another image altogether: that of a random member of the batch."""

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return images.roll(7, dims=0).flip(3)


class _Nothing(nn.Module):
    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return torch.full_like(images, 0.5)


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.networks.translation.gate.PROBE_STEPS", 60)


def _measure(generator: nn.Module) -> Content:
    images, labels, _ = pictures(240, conflicting=0.0)
    return content_kept(generator, (images[:180], labels[:180]), (images[180:], labels[180:]), CLASSES, seed=0)


def test_recolouring_keeps_the_content() -> None:
    content = _measure(_Recolour())
    assert content.edges > 0.99 and content.agreement > 0.99 and content.probe > 0.8
    assert content.cycle < 0.01
    content.check(0.9, "gain")


@pytest.mark.parametrize("generator", [_Replace(), _Nothing()])
def test_lost_content_is_refused_with_its_numbers(generator: nn.Module) -> None:
    content = _measure(generator)
    assert min(content.edges, content.agreement) < 0.5
    with pytest.raises(InvalidFile) as refused:
        content.check(0.7, "conv")
    message = str(refused.value)
    for number in (f"{content.edges:.2f}", f"{content.agreement:.2f}", f"{content.cycle:.3f}", "0.7"):
        assert number in message
    assert "content_gate" in message and "gain" in message
    content.check(-1.0, "conv")


def test_either_number_can_refuse() -> None:
    Content(0.8, 0.8, 0.9, 0.1).check(0.8, "pixel")
    for content in (Content(0.79, 1.0, 0.9, 0.0), Content(1.0, 0.79, 0.9, 0.0)):
        with pytest.raises(InvalidFile):
            content.check(0.8, "pixel")


def test_edges_ignore_colour_and_brightness_and_notice_places() -> None:
    images = pictures(9)[0].float() / 255
    dimmer = images * torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    grey = images.amax(dim=1, keepdim=True).expand_as(images)
    torch.testing.assert_close(edge_correlation(images, 0.4 * grey), torch.ones(9))
    assert edge_correlation(images, dimmer).min() > 0.99
    assert edge_correlation(images, images.roll(5, dims=3)).max() < 0.6


def test_images_without_edges() -> None:
    flat, lit = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    lit[..., 2:4, 2:4] = 1
    assert edge_correlation(flat, flat + 0.5).item() == 1
    assert edge_correlation(flat, lit).item() == edge_correlation(lit, flat).item() == 0
