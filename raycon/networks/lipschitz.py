"""An encoder whose layers may not stretch: spectral bounds on its weights, and on the gain of its normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from raycon.networks.batch_norm import GlobalBatchNorm

ROUNDS = 15
"""Rounds of power iteration on the weights as they were drawn, and on those that are judged."""


class SpectralBound(nn.Module):
    """Weight W -> W / max(1, sigma(W) / bound), sigma being the largest singular value of W as a matrix [out, rest].

    sigma is followed by power iteration (Miyato et al. 2018, arXiv 1802.05957, algorithm 1): one round each time the
    layer runs in training, from where the last one ended. That place is a buffer, which a checkpoint holds, and which
    is equal on all workers, since weights alone decide it. Evaluation takes more rounds from there and keeps none.
    Always computed at the weight's own precision: autocast would mix two.
    """

    left: Tensor
    held: tuple[Tensor, Tensor] | None = None

    def __init__(self, weight: Tensor, bound: float):
        super().__init__()
        self.bound = bound
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", functional.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.left.copy_(self._follow(matrix, ROUNDS)[0])

    @torch.no_grad()
    def _follow(self, matrix: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
        """The left and right singular vectors after some rounds."""
        left = self.left
        for _ in range(rounds):
            right = functional.normalize(left @ matrix, dim=0)
            left = functional.normalize(matrix @ right, dim=0)
        return left, right

    def advance(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The singular vectors that training uses next. Where `held` is set to them they are used as they are: a batch
        that comes in chunks moves them once."""
        with torch.autocast(weight.device.type, enabled=False):
            left, right = self._follow(weight.detach().flatten(1), 1)
        self.left.copy_(left)
        return left, right

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                left, right = self.held or self.advance(weight)
            else:
                left, right = self._follow(matrix, ROUNDS)
            return weight / (left @ (matrix @ right) / self.bound).clamp(min=1.0)


class BoundedBatchNorm(GlobalBatchNorm):
    """Batch normalisation that multiplies no channel by more than `bound`: (x - mean) gain + bias, with
    gain = weight / max(sqrt(variance + eps), |weight| / bound).

    Unbounded, it would undo every bound on the weights before it, whose scale it divides out.
    """

    def __init__(self, channels: int, bound: float):
        super().__init__(channels)
        self.bound = bound

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        shape = [1, -1] + [1] * (input.dim() - 2)
        wide = input if input.dtype == torch.float64 else input.float()
        centred, variance = self._centre(wide)
        deviation = (variance + self.eps).sqrt()
        gain = self.weight / torch.maximum(deviation, self.weight.abs() / self.bound)
        return (centred * gain.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _centre(self, wide: Tensor) -> tuple[Tensor, Tensor]:
        """The input less its mean, and its variance: of the whole batch in training, of the past in evaluation."""
        if self.training:
            return super()._centre(wide)
        assert self.running_mean is not None and self.running_var is not None
        return wide - self.running_mean.view([1, -1] + [1] * (wide.dim() - 2)), self.running_var


def bound_layers(module: nn.Module, bound: float) -> None:
    """Bounds every convolution, linear map and batch normalisation below `module`, in place; `bound` each.

    As a matrix a convolution is bounded on one patch; on an image it may stretch by `bound` times the square root of
    how many patches share a pixel (kernel size over stride, rounded up, squared). ReLU, pooling by the mean and
    flattening stretch by 1 at most. So a chain of these is Lipschitz in evaluation, with the product of its layers'
    numbers (up to the error of the power iteration); a residual block with 1 plus that of its branch. During training
    the statistics of the batch move with the images, and only the gain at these statistics is bounded. The projection
    head is not bounded.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, GlobalBatchNorm):
            setattr(module, name, BoundedBatchNorm(child.num_features, bound))
        elif isinstance(child, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(child, "weight", SpectralBound(child.weight, bound))
        else:
            bound_layers(child, bound)
