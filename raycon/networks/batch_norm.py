"""Batch normalisation over the images of all workers, on any device (torch's SyncBatchNorm refuses CPUs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raycon.collectives import mean_over_workers, sum_over_workers, world_size

Scope = Literal["all", "worker"]
Statistics = Callable[["GlobalBatchNorm", Tensor], tuple[Tensor, Tensor]]


class GlobalBatchNorm(_BatchNorm):
    """Normalises with the mean and variance of the whole batch, whatever the number of workers.

    Input [N, C] or [N, C, H, W]. One worker: torch's own kernel. Several: sums that are added up over workers, in at
    least float32, through which gradients pass. Every worker must hold the same number of images. Evaluation uses the
    running statistics, as usual.

    scope: `all`, or `worker`: each worker normalises with the statistics of its own images, and the running statistics
    are the mean over workers (`share_running_statistics`). given: where set, it says what mean and variance an input is
    normalised with, and whoever set it follows them in the running statistics (see `raycon.networks.chunked`).
    """

    scope: Scope = "all"
    given: Statistics | None = None

    @property
    def workers(self) -> int:
        """Over how many workers the statistics are taken."""
        return world_size() if self.scope == "all" else 1

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"batch normalisation takes [N, C] or [N, C, H, W], not {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or (self.workers == 1 and self.given is None):
            return super().forward(input)
        self._check_input_dim(input)
        shape = [1, -1] + [1] * (input.dim() - 2)
        wide = input if input.dtype == torch.float64 else input.float()
        centred, variance = self._centre(wide)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            # The gain first, of C numbers: autograd then keeps the centred input alone.
            return (centred * (scale * self.weight).view(shape) + self.bias.view(shape)).to(input.dtype)
        return (centred * scale.view(shape)).to(input.dtype)

    def _centre(self, wide: Tensor) -> tuple[Tensor, Tensor]:
        """The input less its mean over the batch, and its variance there."""
        dims = [0, *range(2, wide.dim())]
        shape = [1, -1] + [1] * (wide.dim() - 2)
        if self.given is not None:
            mean, variance = self.given(self, wide)
            return wide - mean.view(shape), variance
        count = wide.numel() // wide.shape[1] * self.workers
        mean = self.sum_over_workers(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        # The second pass costs one more sum over workers, and avoids the cancellation of E[x^2] - E[x]^2.
        variance = self.sum_over_workers(centred.square().sum(dims)) / count
        self.follow(mean.detach(), variance.detach(), count)
        return centred, variance

    def sum_over_workers(self, values: Tensor) -> Tensor:
        """The sum over those workers that share their statistics, with gradient."""
        return sum_over_workers(values) if self.workers > 1 else values

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics towards those of a batch, [C] each, of `count` values a channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((variance * count / max(count - 1, 1)).to(self.running_var.dtype), momentum)


@torch.no_grad()
def share_running_statistics(module: nn.Module) -> None:
    """Brings the running statistics of layers with scope `worker` to their mean over workers, in place.

    They move linearly, so it does not matter how many steps lie between two calls: the result is what the mean of the
    workers' statistics at every step would have made. Nothing happens with one worker, or with scope `all`.
    """
    kept: list[Tensor] = []
    for layer in module.modules():
        if isinstance(layer, GlobalBatchNorm) and layer.workers < world_size():
            kept += [buffer for buffer in (layer.running_mean, layer.running_var) if buffer is not None]
    if kept:
        means = mean_over_workers(torch.cat([buffer.flatten() for buffer in kept]))
        for buffer, mean in zip(kept, torch.split(means, [buffer.numel() for buffer in kept]), strict=True):
            buffer.copy_(mean.view_as(buffer))
