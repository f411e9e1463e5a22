"""Encoders: images [n, C, H, W] -> embeddings [n, E]. Every one has the attribute `width`, which is E."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from raycon.config import Encoder
from raycon.errors import InvalidFile, nearest
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.chunked import InChunks
from raycon.networks.lipschitz import bound_layers

RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)
ENCODERS = ("convnet", *RESNETS, "vit_small")
SMALL_IMAGE = 64
"""Up to this size a ResNet gets a 3x3 stem of stride 1 and no pooling, and a ViT patches of 4 pixels."""
GROUPED = 16
"""Channels that are normalised together by `norm: group`, or the largest number that divides both it and the width."""


class ImageEncoder(InChunks):
    """A body that ends in a vector of `body_width`, and a linear map to `embedding` numbers where that is asked for."""

    def __init__(self, body: nn.Module, body_width: int, embedding: int | None):
        super().__init__()
        self.body = body
        self.width = embedding or body_width
        self.embed = nn.Linear(body_width, embedding) if embedding else nn.Identity()

    def whole(self, images: Tensor) -> Tensor:
        result: Tensor = self.embed(self.body(images))
        return result


def build_encoder(config: Encoder, *, channels: int, size: int) -> ImageEncoder:
    """The encoder that `config` names, for images of `channels` x `size` x `size`.

    Raises InvalidFile for an unknown name, a size or normalisation that the encoder cannot take, or a Lipschitz bound
    on attention or on the statistics of a single image, which have none.
    """
    encoder = _unbounded(config, channels, size)
    if config.lipschitz is not None:
        if config.name == "vit_small":
            raise InvalidFile("attention cannot be bounded, whatever its weights", field="encoder.lipschitz")
        if config.norm == "group":
            raise InvalidFile("group normalisation of faint images stretches without bound", field="encoder.lipschitz")
        bound_layers(encoder, config.lipschitz)
    return encoder


def _unbounded(config: Encoder, channels: int, size: int) -> ImageEncoder:
    if config.name == "convnet":
        return ImageEncoder(_convnet(config, channels), 4 * config.width, config.embedding)
    if config.name in RESNETS:
        return ImageEncoder(*_resnet(config, channels, size), config.embedding)
    if config.name == "vit_small":
        if config.norm != "batch":
            raise InvalidFile("vit_small has layer normalisation and takes no other", field="encoder.norm")
        return ImageEncoder(*_vit_small(channels, size), config.embedding)
    raise InvalidFile(
        f"unknown encoder{nearest(config.name, ENCODERS)}; known: {', '.join(ENCODERS)}", field="encoder.name"
    )


def _normalisation(config: Encoder) -> Callable[[int], nn.Module]:
    """What makes the normalisation of so many channels."""
    if config.norm == "batch":
        return GlobalBatchNorm
    return lambda channels: nn.GroupNorm(channels // math.gcd(channels, GROUPED), channels)


def _convnet(config: Encoder, channels: int) -> nn.Module:
    """Three or four strided convolutions, each with normalisation and ReLU, then the mean over positions."""
    w = config.width
    if config.depth == 3:
        layers = [(channels, w, 5, 2), (w, 2 * w, 3, 2), (2 * w, 4 * w, 3, 2)]
    else:
        layers = [(channels, w, 3, 2), (w, 2 * w, 3, 2), (2 * w, 4 * w, 3, 1), (4 * w, 4 * w, 3, 2)]
    normalisation = _normalisation(config)
    blocks: list[nn.Module] = []
    for inside, outside, kernel, stride in layers:
        blocks += [
            nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
            normalisation(outside),
            nn.ReLU(inplace=True),  # the same bits; one copy of the activations less
        ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _resnet(config: Encoder, channels: int, size: int) -> tuple[nn.Module, int]:
    """A torchvision ResNet; small images get the stem of the contrastive literature (3x3, stride 1, no pooling)."""
    # torchvision costs seconds to import, and most runs on small images never need it.
    from torchvision import models

    net: Any = models.get_model(config.name, weights=None, norm_layer=_normalisation(config))
    if size <= SMALL_IMAGE:
        net.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    width = int(net.fc.in_features)
    net.fc = nn.Identity()
    return net, width


def _vit_small(channels: int, size: int) -> tuple[nn.Module, int]:
    """ViT-small: 12 blocks, 6 heads, 384 wide, the class token at the end."""
    from torchvision.models.vision_transformer import VisionTransformer

    patch = 4 if size <= SMALL_IMAGE else 16
    if size % patch:
        raise InvalidFile(
            f"vit_small cuts images into patches of {patch} pixels, and {size} is no multiple", field="encoder.name"
        )
    width = 384
    net: Any = VisionTransformer(
        image_size=size, patch_size=patch, num_layers=12, num_heads=6, hidden_dim=width, mlp_dim=4 * width
    )
    if channels != 3:
        net.conv_proj = nn.Conv2d(channels, width, patch, patch)
        fan_in = channels * patch * patch
        nn.init.trunc_normal_(net.conv_proj.weight, std=fan_in**-0.5)
        nn.init.zeros_(net.conv_proj.bias)
    net.heads = nn.Identity()
    return net, width


def encoder_buffers(encoder: nn.Module) -> Tensor:
    """All buffers of an encoder in one vector, to prove that an evaluation left them as they were."""
    parts = [buffer.detach().double().flatten() for buffer in encoder.buffers()]
    return torch.cat(parts) if parts else torch.zeros(0)
