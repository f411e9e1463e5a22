"""The weights of Group-DRO, which grow for the groups with large losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from raycon.collectives import gather_rows
from raycon.knobs import NonNegative
from raycon.losses.group_dro import flat_views, group_losses, size_adjustments, update_group_weights
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes

Absent = Literal["last", "zero"]


class GroupWeights(Auxiliary):
    """logits [N, V, K], labels [N], groups [N] -> group_weights [G], sum 1, without gradient.

    In every training step, before the loss is formed, the logarithm of each weight rises by step_size * (L_g +
    size_adjustment / sqrt(n_g)): L_g the group's mean cross entropy over the batch of all workers and all views, n_g
    its number of training images (Sagawa et al. 2020, arXiv 1911.08731, and their code).

    step_size: about 0.001 to 0.1; 0 leaves all groups equal. size_adjustment: 0 to 5. absent: what stands for L_g where
    the batch has no image of the group. The authors' code has `zero`, and draws batches in which all groups are equally
    frequent; in batches drawn as the images come, rare groups would then lose weight for being rare. `last`, our own
    form, is the group's loss in the last batch that had it.
    """

    provides = ("group_weights",)

    @staticmethod
    def stops_gradient(knobs: Mapping[str, Any]) -> bool:
        return True

    def __init__(
        self,
        shapes: Shapes,
        *,
        step_size: NonNegative = 0.01,
        size_adjustment: NonNegative = 0.0,
        absent: Absent = "last",
    ):
        super().__init__()
        self.step_size, self.size_adjustment, self.absent = step_size, size_adjustment, absent
        self.log_weights: Tensor
        self.counts: Tensor
        self.register_buffer("log_weights", torch.zeros(shapes.groups).log_softmax(dim=0))
        self.register_buffer("counts", torch.zeros(shapes.groups))
        self.last_losses: Tensor
        self.register_buffer("last_losses", torch.zeros(shapes.groups))

    @torch.no_grad()
    def prepare(self, preparation: Preparation) -> None:
        groups, count = preparation.table.product(preparation.trial.data.groups)
        self.counts.copy_(torch.bincount(groups, minlength=count))

    @torch.no_grad()
    def forward(self, logits: Tensor, labels: Tensor, groups: Tensor) -> dict[str, Tensor]:
        if self.training:
            logits, labels, groups = (gather_rows(tensor.detach()) for tensor in (logits, labels, groups))
            losses = self._filled(group_losses(*flat_views(logits, labels, groups), len(self.log_weights)), groups)
            losses = losses + size_adjustments(self.counts, self.size_adjustment)
            self.log_weights.copy_(update_group_weights(self.log_weights, losses, step_size=self.step_size))
        return {"group_weights": self.log_weights.exp()}

    def _filled(self, losses: Tensor, groups: Tensor) -> Tensor:
        """The groups' losses [G], with what stands for those of groups that are not in the batch; and keeps them."""
        losses = losses.to(self.last_losses.dtype)
        if self.absent == "last":
            present = (groups[:, None] == torch.arange(len(losses), device=groups.device)).any(dim=0)
            losses = losses.where(present, self.last_losses)
        self.last_losses.copy_(losses)
        return losses
