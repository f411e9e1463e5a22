"""Encoders of others: what they are given, what is left of them, and what is refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from raycon.datasets.info import IMAGENET_MEAN, IMAGENET_STD
from raycon.errors import InvalidFile, MissingData, RayconError
from raycon.networks.named import NamedEncoder, named_encoder

GREY = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_a_torchvision_encoder_is_the_network_before_its_classifier() -> None:
    encoder = named_encoder("torchvision:resnet18", size=32)
    torch.manual_seed(0)
    whole = models.resnet18(weights=None).eval()
    found, features = encoder.represent(images := encoder.prepare(GREY, (0.3,), (0.4,)))
    with torch.no_grad():
        assert torch.allclose(whole.fc(found), whole(images), atol=1e-5)
    assert found.shape == (3, 512) and torch.allclose(features.norm(dim=1), torch.ones(3))
    assert not encoder.training


def test_images_are_resized_repeated_and_normalised() -> None:
    encoder = NamedEncoder(torch.nn.Flatten(), name="flat", size=28)
    made = encoder.prepare(GREY, (0.3,), (0.4,))
    assert made.shape == (3, 3, 28, 28)
    assert torch.allclose(made, ((GREY.float() / 255 - 0.3) / 0.4).expand(-1, 3, -1, -1), atol=1e-6)
    published = NamedEncoder(torch.nn.Flatten(), name="flat", size=56, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    large = published.prepare(GREY, (0.3,), (0.4,))
    assert large.shape == (3, 3, 56, 56)
    back = large * torch.tensor(IMAGENET_STD)[:, None, None] + torch.tensor(IMAGENET_MEAN)[:, None, None]
    assert torch.allclose(back[:, 0], back[:, 2], atol=1e-6) and 0 <= float(back.min()) <= float(back.max()) <= 1
    single = NamedEncoder(torch.nn.Flatten(), name="flat", size=28, channels=1)
    colour = GREY.repeat(1, 3, 1, 1)
    assert torch.allclose(single.prepare(colour, (0.2, 0.3, 0.4), (0.4,) * 3), made[:, :1], atol=1e-6)


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(9)
    given = models.resnet18(weights=None)
    backbone = {f"backbone.{n}": v for n, v in given.state_dict().items() if not n.startswith("fc.")}
    save_file(backbone, tmp_path / "w.safetensors")
    save_file(given.state_dict(), tmp_path / "whole.safetensors")
    images = GREY
    made = []
    for name in ("w", "whole"):
        encoder = named_encoder("torchvision:resnet18", weights=str(tmp_path / f"{name}.safetensors"), size=32)
        made.append(encoder.represent(encoder.prepare(images, (0.3,), (0.4,)))[0])
    given.fc = torch.nn.Identity()
    expected = given.eval()(encoder.prepare(images, (0.3,), (0.4,)))
    assert all(torch.allclose(one, expected, atol=1e-5) for one in made)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    tensors = {n: v.clone() for n, v in models.resnet18(weights=None).state_dict().items()}
    missing = {name: value for name, value in tensors.items() if name != "layer1.0.conv1.weight"}
    save_file(missing, tmp_path / "missing.safetensors")
    save_file(tensors | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "shape.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name, words in (
        ("missing", r"lacks 1 of .* first layer1\.0\.conv1\.weight"),
        ("shape", r"conv1\.weight is \[64, 1, 7, 7\]"),
        ("text", "no safetensors file"),
    ):
        with pytest.raises(InvalidFile, match=words) as refused:
            named_encoder("torchvision:resnet18", weights=str(tmp_path / f"{name}.safetensors"), size=32)
        assert refused.value.file == str(tmp_path / f"{name}.safetensors")
    with pytest.raises(MissingData, match="is no file"):
        named_encoder("torchvision:resnet18", weights=str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("torchvision:resnet81", None, "did you mean 'resnet18'"),
        ("torchvision:squeezenet1_0", None, "no embeddings"),
        ("torchvision:alexnet", 16, "takes no images of 16 pixels"),
        ("torchvision:", None, "is no encoder"),
        ("keras:resnet18", None, "is no encoder"),
    ],
)
def test_what_cannot_be_used_is_refused(name: str, size: int | None, words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        named_encoder(name, size=size)


def test_nothing_is_fetched_unasked_or_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    monkeypatch.delenv("RAYCON_OFFLINE", raising=False)
    named_encoder("torchvision:resnet18", size=32)
    with pytest.raises(MissingData, match=r"could not be fetched \(no network\); name a safetensors file"):
        named_encoder("torchvision:resnet18", weights="default")
    monkeypatch.setenv("RAYCON_OFFLINE", "1")
    with pytest.raises(MissingData, match="RAYCON_OFFLINE"):
        named_encoder("torchvision:resnet18", weights="default")


def test_timm_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RayconError, match=r"pip install 'raycon\[timm\]'"):
        named_encoder("timm:resnet18.a1_in1k")


@pytest.mark.parametrize(("name", "width"), [("resnet18.a1_in1k", 512), ("vit_tiny_patch16_224", 192)])
def test_a_timm_encoder_gives_pooled_embeddings(name: str, width: int) -> None:
    pytest.importorskip("timm")
    encoder = named_encoder(f"timm:{name}", size=32, normalisation="weights")
    found, _ = encoder.represent(encoder.prepare(GREY, (0.3,), (0.4,)))
    assert found.shape == (3, width) and encoder.mean is not None
    with pytest.raises(InvalidFile, match="timm has no model"):
        named_encoder("timm:resnet81")
