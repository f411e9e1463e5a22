"""Encoders of others by name: torchvision's and timm's classifiers without their last layer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.errors import InvalidFile, MissingData, RayconError, nearest

SOURCES = ("torchvision", "timm")
Normalisation = Literal["data", "weights"]
PREFIXES = ("", "module.", "model.", "encoder.", "backbone.", "base_encoder.", "module.encoder.", "module.backbone.")
"""What training code puts before the names of an encoder's weights."""


class NamedEncoder(nn.Module):
    """An encoder that knows how images must come: `size` x `size` pixels, `channels`, and less `mean` over `std`.

    mean, std: of the pixels that the weights were trained with; None: those of the data judged.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        name: str,
        size: int,
        channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.body, self.name, self.size, self.channels = body, name, size, channels
        self.mean, self.std = (None if values is None else tuple(values) for values in (mean, std))

    def prepare(self, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """uint8 [n, C, H, W] as the encoder takes them: float32 in [0, 1], resampled (bilinear, antialiased), grey
        repeated or colours averaged to the channels wanted, less the mean over the deviation.

        mean, std: those of the data, used where the weights bring none. Where grey becomes colour they are repeated,
        where colours become grey averaged.
        """
        values = _with_channels(images.float() / 255, self.channels)
        if tuple(values.shape[2:]) != (self.size, self.size):
            values = functional.interpolate(values, (self.size, self.size), mode="bilinear", antialias=True)
        found = (mean if self.mean is None else self.mean, std if self.std is None else self.std)
        middle, spread = (_for_channels(numbers, self.channels).to(values)[:, None, None] for numbers in found)
        return values.sub_(middle).div_(spread)

    def represent(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [n, E], and the same rows at unit length: there is no projection head."""
        embeddings: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
        if embeddings.dim() != 2:
            raise InvalidFile(
                f"{self.name} gives {list(embeddings.shape)} for {len(images)} images, not a row each", field="encoder"
            )
        return embeddings, functional.normalize(embeddings, dim=1)

    @property
    def preprocessing(self) -> str:
        """Everything that `prepare` depends on beside the data."""
        return f"{self.channels}x{self.size} mean {self.mean} std {self.std}"


def named_encoder(
    name: str,
    *,
    weights: str = "none",
    size: int | None = None,
    normalisation: Normalisation | None = None,
    seed: int = 0,
) -> NamedEncoder:
    """The encoder `torchvision:NAME` or `timm:NAME`, without its classifier, in evaluation mode.

    weights: `none` (drawn with `seed`), `default` (the published ones; downloaded where they are not in the library's
    own cache, unless RAYCON_OFFLINE=1), or a safetensors file with the names of that library, with or without a prefix
    of `PREFIXES` and with or without the classifier. size: of the images that it is given (the library's own).
    normalisation: with the mean and deviation of the `data`, or of the `weights` as the library publishes them; by
    default `weights` with `default`, else `data`.

    Raises InvalidFile for a name, size or file that does not fit, MissingData for a file or a download that is not
    there, RayconError where timm is not installed.
    """
    source, _, own = name.partition(":")
    if source not in SOURCES or not own:
        raise InvalidFile(f"{name!r} is no encoder; torchvision:NAME and timm:NAME are", field="encoder")
    torch.manual_seed(seed)
    build = _torchvision if source == "torchvision" else _timm
    body, shape, mean, std = build(own, weights == "default", size)
    if weights not in ("none", "default"):
        load_weights(body, Path(weights), own)
    if (normalisation or ("weights" if weights == "default" else "data")) == "data":
        mean = std = None
    encoder = NamedEncoder(body, name=name, size=size or shape[1], channels=shape[0], mean=mean, std=std)
    encoder.to(memory_format=torch.channels_last).eval()
    _try_one(encoder)
    return encoder


Built = tuple[nn.Module, tuple[int, int], Sequence[float] | None, Sequence[float] | None]
"""The network without its classifier, channels and size of its images, and their mean and deviation."""


def _torchvision(name: str, pretrained: bool, size: int | None) -> Built:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InvalidFile(f"torchvision has no classifier {name!r}{nearest(name, known)}", field="encoder")
    weights = models.get_model_weights(name).DEFAULT
    kind: Any = weights.transforms()
    extra = {"image_size": size} if size is not None and name.startswith("vit_") and not pretrained else {}
    extra |= {"init_weights": True} if name in ("googlenet", "inception_v3") and not pretrained else {}
    model = _fetched(name, pretrained, lambda: models.get_model(name, weights=weights if pretrained else None, **extra))
    model.set_submodule(_classifier(model, name), nn.Identity())
    return model, (3, int(kind.crop_size[0])), kind.mean, kind.std


def _timm(name: str, pretrained: bool, size: int | None) -> Built:
    try:
        import timm
    except ImportError:
        raise RayconError("timm is not installed; `pip install 'raycon[timm]'` brings it") from None
    known = [*timm.list_models(), *timm.list_pretrained()]
    if name not in known:
        raise InvalidFile(f"timm has no model {name!r}{nearest(name, known)}", field="encoder")
    wanted = {"pretrained": pretrained, "num_classes": 0}
    model: Any
    try:
        sized = wanted if size is None else wanted | {"img_size": size}
        model = _fetched(name, pretrained, lambda: timm.create_model(name, **sized))
    except TypeError:  # convolutions take images of any size, and no such argument
        model = _fetched(name, pretrained, lambda: timm.create_model(name, **wanted))
    published = model.pretrained_cfg
    channels, height, _ = published["input_size"]
    return model, (int(channels), int(height)), published["mean"], published["std"]


def _fetched(name: str, pretrained: bool, build: Any) -> nn.Module:
    """What `build` gives; a download that fails is one line."""
    if not pretrained:
        model: nn.Module = build()
        return model
    if os.environ.get("RAYCON_OFFLINE") == "1":
        raise MissingData(
            f"the published weights of {name} are not fetched, because RAYCON_OFFLINE=1", field="--weights"
        )
    try:
        fetched: nn.Module = build()
    except (OSError, RuntimeError, ImportError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "name a safetensors file, or none"
        raise MissingData(f"the published weights of {name} could not be fetched ({first}); {hint}") from error
    return fetched


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Puts the tensors of a safetensors file into `model`; what else the file holds, a classifier say, is passed over.

    Raises MissingData where there is no file, InvalidFile where it cannot be read or holds another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise MissingData(f"{path} is no file", field="--weights")
    try:
        given = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidFile(f"no safetensors file: {error}", file=str(path)) from None
    wanted = model.state_dict()
    needed = {key for key in wanted if not key.endswith("num_batches_tracked")}
    prefix = max(PREFIXES, key=lambda one: len(needed & _without(given, one).keys()))
    found = {key: value for key, value in _without(given, prefix).items() if key in wanted}
    if missing := sorted(needed - found.keys()):
        raise InvalidFile(
            f"lacks {len(missing)} of {len(needed)} tensors of {name}, first {missing[0]}", file=str(path)
        )
    for key, value in found.items():
        if value.shape != wanted[key].shape:
            reason = f"{key} is {list(value.shape)}, {name} has {list(wanted[key].shape)}"
            raise InvalidFile(reason, file=str(path))
    model.load_state_dict(found, strict=False)


def _without(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _classifier(model: nn.Module, name: str) -> str:
    """The last linear layer. Raises InvalidFile where the network ends in something else."""
    layers: list[str] = [key for key, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].split(".")[0] not in ("fc", "classifier", "head", "heads", "last_linear"):
        raise InvalidFile(f"{name} does not end in a linear classifier, so it has no embeddings", field="encoder")
    return layers[-1]


@torch.no_grad()
def _try_one(encoder: NamedEncoder) -> None:
    """Two black images: a size that the network cannot take is said before any data are read."""
    images = torch.zeros(2, encoder.channels, encoder.size, encoder.size, dtype=torch.uint8)
    ones = (1.0,) * encoder.channels
    try:
        encoder.represent(encoder.prepare(images, ones, ones))
    except (RuntimeError, AssertionError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidFile(f"{encoder.name} takes no images of {encoder.size} pixels: {first}", field="--size") from None


def _with_channels(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == channels:
        return images
    return images.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)


def _for_channels(numbers: Sequence[float], channels: int) -> Tensor:
    values = torch.tensor(tuple(numbers))
    return values if len(values) == channels else values.mean().expand(channels)
