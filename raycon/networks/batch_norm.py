"""Batch normalisation over the images of all workers, on any device (torch's SyncBatchNorm refuses CPUs)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from raycon.collectives import sum_over_workers, world_size


class GlobalBatchNorm(_BatchNorm):
    """Normalises with the mean and variance of the whole batch, whatever the number of workers.

    Input [N, C] or [N, C, H, W]. One worker: torch's own kernel. Several: sums that are added up over workers, in at
    least float32, through which gradients pass. Every worker must hold the same number of images. Evaluation uses the
    running statistics, as usual.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"batch normalisation takes [N, C] or [N, C, H, W], not {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        shape = [1, -1] + [1] * (input.dim() - 2)
        wide = input if input.dtype == torch.float64 else input.float()
        centred, mean, variance, count = self._moments(wide)
        self._update(mean.detach(), variance.detach(), count)
        result = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    def _moments(self, wide: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """The input less the mean over all workers, that mean, the variance, and how many values made them."""
        dims = [0, *range(2, wide.dim())]
        shape = [1, -1] + [1] * (wide.dim() - 2)
        count = wide.numel() // wide.shape[1] * world_size()
        mean = sum_over_workers(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        # The second pass costs one more sum over workers, and avoids the cancellation of E[x^2] - E[x]^2.
        variance = sum_over_workers(centred.square().sum(dims)) / count
        return centred, mean, variance, count

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((variance * count / max(count - 1, 1)).to(self.running_var.dtype), momentum)
