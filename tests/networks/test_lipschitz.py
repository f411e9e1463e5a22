"""The bounds hold, for a layer and for a whole chain of them, and survive copies, checkpoints and precisions."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from raycon.config import Encoder
from raycon.errors import InvalidFile
from raycon.networks.encoders import build_encoder
from raycon.networks.lipschitz import BoundedBatchNorm, SpectralBound, bound_layers


def _encoder(bound: float | None, **options: object) -> nn.Module:
    torch.manual_seed(0)
    config = Encoder(width=4, embedding=6, lipschitz=bound, **options)  # type: ignore[arg-type]  # of the dataclass
    return build_encoder(config, channels=1, size=8)


def _stretched(encoder: nn.Module, steps: int = 15) -> nn.Module:
    """Trained to make its outputs large, against every bound."""
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.5)
    images = torch.randn(32, 1, 8, 8)
    for _ in range(steps):
        optimiser.zero_grad()
        (-encoder(images).square().mean().log()).backward()
        optimiser.step()
    return encoder.eval()


def _layers(encoder: nn.Module) -> list[nn.Module]:
    return [m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _sigma(layer: nn.Module) -> float:
    assert isinstance(layer.weight, Tensor)
    return float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))


@pytest.mark.parametrize("bound", [0.5, 2.0])
def test_no_weight_stretches_more_than_the_bound(bound: float) -> None:
    norms = [_sigma(layer) for layer in _layers(_stretched(_encoder(bound)))]
    assert len(norms) == 5
    assert max(norms) <= bound * 1.02  # as near as the power iteration comes
    assert max(norms) == pytest.approx(bound, rel=0.02)
    assert max(_sigma(layer) for layer in _layers(_stretched(_encoder(None)))) > 2.0


def test_a_weight_within_the_bound_is_left_alone() -> None:
    for bounded, plain in zip(_layers(_encoder(100.0)), _layers(_encoder(None)), strict=True):
        assert isinstance(bounded, nn.Module)
        original = bounded.parametrizations.weight.original  # type: ignore[union-attr]  # torch leaves it untyped
        assert torch.equal(bounded.weight, original)  # type: ignore[arg-type]
        assert isinstance(plain.weight, Tensor) and bounded.weight.shape == plain.weight.shape


def _chain_bound(encoder: nn.Module, bound: float) -> float:
    """The product over layers that `bound_layers` promises for a chain."""
    product = 1.0
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            product *= bound * math.ceil(layer.kernel_size[0] / layer.stride[0])
        elif isinstance(layer, nn.Linear | BoundedBatchNorm):
            product *= bound
    return product


def _largest_stretch(encoder: nn.Module) -> float:
    """The largest singular value of the Jacobian at some images, which no bound may fall below."""
    largest = 0.0
    for seed in range(4):
        image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        jacobian = torch.autograd.functional.jacobian(lambda x: encoder(x)[0], image)  # type: ignore[no-untyped-call]
        largest = max(largest, float(torch.linalg.matrix_norm(jacobian.flatten(1), 2)))
    return largest


def test_the_whole_encoder_stretches_no_more_than_its_layers_together() -> None:
    bounded = _stretched(_encoder(0.7))
    assert _largest_stretch(bounded) <= _chain_bound(bounded, 0.7) * 1.05
    assert _largest_stretch(_stretched(_encoder(None))) > 5 * _largest_stretch(bounded)


@pytest.mark.parametrize("training", [True, False])
def test_a_bounded_normalisation_is_a_plain_one_until_its_gain_is_too_large(training: bool) -> None:
    plain, bounded = nn.BatchNorm2d(2).double(), BoundedBatchNorm(2, 3.0).double()
    images = torch.randn(8, 2, 4, 4, dtype=torch.float64) * torch.tensor([2.0, 0.01]).view(1, 2, 1, 1)
    for norm in (plain, bounded):
        norm(images)
        norm.train(training)
    ours, theirs = bounded(images).detach(), plain(images).detach()
    assert torch.allclose(ours[:, 0], theirs[:, 0], atol=1e-12)
    ratio = (ours[1, 1] - ours[0, 1]).norm() / (images[1, 1] - images[0, 1]).norm()
    # In evaluation the variance is that of the past, which began at 1 and is nine tenths of it after one batch.
    assert float(ratio) == pytest.approx(3.0 if training else 0.9**-0.5, rel=1e-3)
    for name, value in plain.named_buffers():
        assert torch.allclose(dict(bounded.named_buffers())[name].double(), value.double(), atol=1e-12), name


def test_evaluation_moves_nothing_and_copies_are_independent() -> None:
    encoder = _encoder(0.5).eval()
    images = torch.randn(4, 1, 8, 8)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    twin = copy.deepcopy(encoder)
    assert torch.equal(encoder(images), twin(images))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    _stretched(twin.train())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not torch.equal(encoder(images), twin(images))


def test_a_loaded_encoder_goes_on_as_the_saved_one() -> None:
    saved, loaded = _stretched(_encoder(0.5)).train(), _encoder(0.5)
    torch.manual_seed(7)
    loaded.load_state_dict(saved.state_dict())
    images = torch.randn(8, 1, 8, 8)
    for _ in range(3):
        assert torch.equal(saved(images), loaded(images))


def test_two_passes_before_one_backward_and_half_precision() -> None:
    encoder = _encoder(0.5)
    images = torch.randn(8, 1, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (encoder(images) + encoder(2 * images)).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_the_gradient_passes_the_bound() -> None:
    layer = nn.Linear(3, 2, bias=False).double()
    bound_layers(nn.Sequential(layer), 0.1)
    layer.eval()  # nothing moves between two evaluations
    parametrization = layer.parametrizations.weight[0]  # type: ignore[index,union-attr]  # torch leaves it untyped
    weight = torch.tensor([[2.0, 0.5, 0.1], [-0.3, 0.4, 0.2]], dtype=torch.float64, requires_grad=True)
    assert isinstance(parametrization, SpectralBound)
    assert torch.autograd.gradcheck(parametrization, (weight,))


def test_attention_cannot_be_bounded() -> None:
    with pytest.raises(InvalidFile, match="attention"):
        build_encoder(Encoder(name="vit_small", lipschitz=1.0), channels=1, size=8)


@pytest.mark.slow
def test_a_residual_network_is_bounded_layer_by_layer() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name="resnet18", lipschitz=1.0), channels=1, size=8)
    encoder(torch.randn(4, 1, 8, 8)).sum().backward()
    # Wide layers have singular values close to one another, between which a power iteration is slow to choose.
    assert all(_sigma(layer) <= 1.05 for layer in _layers(encoder.eval()))
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 20 and all(isinstance(m, BoundedBatchNorm) for m in norms)
