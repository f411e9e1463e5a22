"""Sums and gathers over all workers that gradients pass through exactly.

The rule of the project: nothing is scaled after a differentiable gather. Each worker computes the full loss of pairwise
terms from the gathered tensors, the backward pass of a gather gives the sum of what all workers want of a row, and the
mean that DistributedDataParallel takes over workers then is the gradient of the one-process loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of workers of this run: 1 when no process group is up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _SumOverWorkers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


class _GatherAlike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        packed = torch.cat([rows.reshape(-1) for rows in tensors])
        parts = packed.new_empty(world_size(), len(packed))
        dist.all_gather(list(parts.unbind()), packed)
        pieces = torch.split(parts, [rows.numel() for rows in tensors], dim=1)
        return tuple(piece.reshape(-1, *rows.shape[1:]) for piece, rows in zip(pieces, tensors, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient.chunk(world_size())[rank()] * world_size() for gradient in gradients)


def sum_over_workers(values: Tensor) -> Tensor:
    """The element-wise sum over workers, with gradient. The same shape as `values` on every worker."""
    if world_size() == 1:
        return values
    result: Tensor = _SumOverWorkers.apply(values)
    return result


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all workers, [N, ...] -> [workers * N, ...], in the order of ranks, with gradient.

    Every worker must bring the same number of rows.
    """
    if world_size() == 1:
        return rows
    result: Tensor = _GatherRows.apply(rows)
    return result


def gather_alike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """As `gather_rows` of each, for what every worker computes alike: the same function of the gathered rows, of
    parameters and of nothing else.

    Then all workers want the same of a row, and the sum of their wishes is one's own times the number of workers: the
    way back costs no communication. (`raycon.step` refuses terms whose values differ.) Tensors of one type travel
    together, so that a step has a gather for numbers that carry a gradient, one for those that do not, and one for
    labels.
    """
    if world_size() == 1:
        return list(tensors)
    gathered: dict[int, Tensor] = {}
    for kind in dict.fromkeys((rows.dtype, rows.requires_grad) for rows in tensors):
        places = [place for place, rows in enumerate(tensors) if (rows.dtype, rows.requires_grad) == kind]
        gathered |= zip(places, _GatherAlike.apply(*(tensors[place] for place in places)), strict=True)
    return [gathered[place] for place in range(len(tensors))]


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean over workers, without gradient."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def smallest_over_workers(values: Tensor) -> Tensor:
    """The element-wise minimum over workers, without gradient."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MIN)
    return values


def gather_shards(rows: Tensor, total: int) -> Tensor:
    """Puts together what each worker made of the rows `shard(total)` gave it, without gradient: [total, ...]."""
    if world_size() == 1:
        return rows
    longest = -(-total // world_size())
    padded = rows.new_zeros((longest, *rows.shape[1:]))
    padded[: len(rows)] = rows
    return gather_rows(padded.detach())[:total]


def shard(total: int) -> slice:
    """The rows of a list of `total` that this worker takes care of: contiguous, in the order of ranks."""
    longest = -(-total // world_size())
    return slice(min(rank() * longest, total), min((rank() + 1) * longest, total))
