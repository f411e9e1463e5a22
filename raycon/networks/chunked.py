"""Images through a network a chunk at a time, with the exact gradient of the whole batch and the memory of one chunk.

Gradient caching (Gao et al. 2021, arXiv 2101.06983): the chunks are run without a graph, the objective is taken on all
their results, and on the way back each chunk is run once more, with a graph, and handed the gradient of its own rows.

Batch normalisation ties the chunks together. Its statistics s_1, s_2, ... (in the order in which the layers run) are
found one after another: all chunks are run up to layer k, with s_1 to s_{k-1} as they are known by then. The way back
goes from the last to the first: what the loss wants of s_k, its adjoint a_k, is the sum over chunks of what their rows
want of it and of what those later statistics want of which the chunk is a part; then the chunk's gradient is that of

    <gradient, rows> + sum_k <a_k, chunk's part of s_k>.

So the function is that of the whole batch, on any number of workers. With L such layers an image is run L/2 + 1 times
on the way there (a run ends at the layer whose statistics are wanted) and L + 1 times, each with a way back, after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrize import ParametrizationList

from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.lipschitz import SpectralBound
from raycon.seeding import derive_seed


class InChunks(nn.Module):
    """A network that makes a row of every image [n, ...], and that ties images together by `GlobalBatchNorm` alone.

    A subclass has `whole` in place of `forward`. chunk: how many images, of this worker, are run at once in training;
    None: all of them.
    """

    chunk: int | None = None

    def whole(self, images: Tensor) -> Tensor:
        """All images at once."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        if self.chunk is None or not self.training or len(images) <= self.chunk:
            return self.whole(images)
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        result: Tensor = _Cached.apply(self, images, *trained)
        return result


class SequentialInChunks(InChunks, nn.Sequential):
    """Layers one after another, in chunks."""

    def whole(self, images: Tensor) -> Tensor:
        for layer in self:
            images = layer(images)
        return images


class _Cached(torch.autograd.Function):
    """Parameters are inputs, so that autograd adds up and tells of their gradients once, after the last chunk: what
    averages gradients over workers then does so once."""

    @staticmethod
    def forward(ctx: Any, module: InChunks, images: Tensor, *trained: Tensor) -> Tensor:
        ctx.batch = _Batch(module, images.detach(), list(trained))
        rows: Tensor = ctx.batch.rows()
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        batch, ctx.batch = ctx.batch, None
        by_images, by_parameters = batch.gradients(gradient, ctx.needs_input_grad[1])
        return None, by_images, *by_parameters


@dataclass
class _Known:
    """The statistics of one layer over the whole batch: [C] each, of `count` values a channel."""

    layer: GlobalBatchNorm
    mean: Tensor
    variance: Tensor
    count: int
    adjoint: tuple[Tensor, Tensor] | None = None

    def part(self, wide: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What a chunk adds to the mean and to the variance, but for its share of the values, and what the loss wants
        of it, the share included. The mean that deviations are from may be held still: together they have none."""
        assert self.adjoint is not None
        mean, variance, count = _moments(wide)
        share = count / self.count
        by_mean, by_variance = self.adjoint
        return (mean, variance + (mean - self.mean).square()), (share * by_mean, share * by_variance)


class _Unknown(Exception):
    """A run has come to a layer whose statistics are not known yet; these are the chunk's own."""

    def __init__(self, layer: GlobalBatchNorm, wide: Tensor):
        self.layer = layer
        self.mean, self.variance, self.count = _moments(wide)


class _Batch:
    """One batch of images on its way through a module: its chunks, the statistics that are known, and whatever else
    must be the same in each run of a chunk."""

    def __init__(self, module: InChunks, images: Tensor, trained: list[Tensor]):
        assert module.chunk is not None
        self.module, self.trained = module, trained
        self.chunks = torch.split(images, module.chunk)
        self.layers = [layer for layer in module.modules() if isinstance(layer, GlobalBatchNorm)]
        self.known: list[_Known] = []
        self.held = {
            bound: bound.advance(listed.original)
            for listed in module.modules()
            if isinstance(listed, ParametrizationList)
            for bound in listed
            if isinstance(bound, SpectralBound)
        }
        self.seed = torch.initial_seed()
        device = images.device.type
        self.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))

    def rows(self) -> Tensor:
        """The rows of all images, without a graph. Running statistics have moved by one step."""
        while True:
            found = [self._attempt(number) for number in range(len(self.chunks))]
            rows = [row for row in found if isinstance(row, Tensor)]
            if rows:
                break
            self.known.append(_merge([part for part in found if isinstance(part, _Unknown)]))
        for known in self.known:
            known.layer.follow(known.mean, known.variance, known.count)
        return torch.cat(rows)

    def gradients(self, gradient: Tensor, by_images: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        """By the images (None where not asked for) and by the trained parameters, given the gradient by the rows."""
        pieces = torch.split(gradient, [len(chunk) for chunk in self.chunks])
        for place in reversed(range(len(self.known))):
            self._find_adjoint(place, pieces)
        total: list[Tensor | None] = [None for _ in self.trained]
        of_images: list[Tensor] = []
        for number, piece in enumerate(pieces):
            chunk = self.chunks[number].detach().requires_grad_(by_images)
            wanted = [*self.trained, chunk] if by_images else self.trained
            found = self._pull(chunk, number, piece, wanted)
            total = [_plus(*values) for values in zip(total, found, self.trained, strict=False)]
            if by_images:
                of_images.append(torch.zeros_like(chunk) if found[-1] is None else found[-1])
        return torch.cat(of_images) if by_images else None, total

    def _find_adjoint(self, place: int, pieces: Sequence[Tensor]) -> None:
        known = self.known[place]
        mean, variance = known.mean, known.variance
        total = torch.zeros_like(torch.stack([mean, variance]))
        for number, piece in enumerate(pieces):
            known.mean, known.variance = (value.detach().requires_grad_() for value in (mean, variance))
            found = self._pull(self.chunks[number], number, piece, (known.mean, known.variance), late=True)
            total += torch.stack([torch.zeros_like(mean) if value is None else value for value in found])
        known.mean, known.variance = mean, variance
        by_mean, by_variance = known.layer.sum_over_workers(total)
        known.adjoint = (by_mean, by_variance)

    def _pull(
        self, chunk: Tensor, number: int, piece: Tensor, wanted: Sequence[Tensor], late: bool = False
    ) -> tuple[Tensor | None, ...]:
        """One run with a graph, and what the loss wants of `wanted` because of this chunk. late: the graph begins at
        the layer whose statistics are wanted."""
        inside: list[tuple[_Known, Tensor]] = []
        with torch.set_grad_enabled(not late):
            outputs, gradients = [self._run(chunk, number, inside)], [piece]
            for known, wide in inside:
                parts, wishes = known.part(wide)
                outputs += parts
                gradients += wishes
        pairs = [(output, wish) for output, wish in zip(outputs, gradients, strict=True) if output.requires_grad]
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            [output for output, _ in pairs], wanted, [wish for _, wish in pairs], allow_unused=True
        )
        return found

    def _attempt(self, number: int) -> Tensor | _Unknown:
        try:
            return self._run(self.chunks[number], number, [])
        except _Unknown as unknown:
            return unknown

    def _run(self, chunk: Tensor, number: int, inside: list[tuple[_Known, Tensor]]) -> Tensor:
        """One chunk through the module. `inside` takes in the inputs of layers whose adjoint is known."""
        known = iter(self.known)

        def given(layer: GlobalBatchNorm, wide: Tensor) -> tuple[Tensor, Tensor]:
            found = next(known, None)
            if found is None:
                raise _Unknown(layer, wide)
            if found.mean.requires_grad:
                torch.set_grad_enabled(True)  # until `_pull` is done
            if found.adjoint is not None:
                inside.append((found, wide))
            return found.mean, found.variance

        device, dtype, enabled = self.autocast
        # Weights that autocast keeps from a run without a graph would have no gradient in one with it.
        casting = torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False)
        with self._held(given), _same_draws(derive_seed(self.seed, "chunk", number), chunk.device), casting:
            return self.module.whole(chunk)

    @contextmanager
    def _held(self, given: Any) -> Iterator[None]:
        for layer in self.layers:
            layer.given = given
        for bound, vectors in self.held.items():
            bound.held = vectors
        try:
            yield
        finally:
            for layer in self.layers:
                layer.given = None
            for bound in self.held:
                bound.held = None


@contextmanager
def _same_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers that are the same in each run of a chunk, and that leave no trace."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _moments(wide: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of every channel [C], and of how many values."""
    dims = [0, *range(2, wide.dim())]
    variance, mean = torch.var_mean(wide, dims, correction=0)
    return mean, variance, wide.numel() // wide.shape[1]


def _merge(parts: list[_Unknown]) -> _Known:
    """The statistics of the whole batch from those of its chunks, on all workers that share them."""
    layer = parts[0].layer
    count = sum(part.count for part in parts) * layer.workers
    mean = layer.sum_over_workers(torch.stack([part.mean * (part.count / count) for part in parts]).sum(0))
    spread = [(part.variance + (part.mean - mean).square()) * (part.count / count) for part in parts]
    return _Known(layer, mean, layer.sum_over_workers(torch.stack(spread).sum(0)), count)


def _plus(total: Tensor | None, new: Tensor | None, parameter: Tensor) -> Tensor | None:
    """Adds in place, to a first summand laid out in memory as its parameter is."""
    if total is None or new is None:
        return total if new is None else torch.empty_like(parameter).copy_(new)
    return total.add_(new)
