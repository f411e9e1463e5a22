"""InfoNCE in which a view's nearest neighbour among earlier images stands for the view itself (NNCLR)."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import log_ratio_loss, not_self, positive
from raycon.losses.view_pairs import pairs_of_views


def nearest_neighbour_infonce(
    neighbour_features: Tensor,
    predictions: Tensor,
    *,
    temperature: Positive = 0.1,
    decoupled: bool = False,
) -> Tensor:
    """The neighbour of a view attracts the prediction made from another view of the same image.

    With n_i the neighbour of image i's view v, p_i the prediction from its view w != v, s_ij = <n_i, p_j> over the
    temperature: mean over i and ordered pairs (v, w) of  -s_ii + log sum_j e^{s_ij}.
    Source: Dwibedi et al. 2021 (NNCLR, arXiv 2104.14548). `decoupled` leaves the pair's own e^{s_ii} out of the sum, as
    Yeh et al. 2022 (DCL, arXiv 2110.06848) do for InfoNCE.

    Args:
        neighbour_features: [N, V, D], V >= 2, rows of unit length; the queue gives them without gradient.
        predictions: [N, V, D], rows of unit length. `inputs: {predictions: features}` does without a predictor.
        temperature: divides the inner products; about 0.05 to 0.3.
        decoupled: leave the positive out of the denominator.

    Degenerate: one image has no negatives and gives 0, with gradient 0. Identical rows: log N, decoupled log(N - 1).
    Raises ValueError for a single view and for shapes that do not fit each other.

    >>> import torch
    >>> rows = torch.ones(4, 2, 1)
    >>> round(nearest_neighbour_infonce(rows, rows, decoupled=True).item(), 4)  # log 3
    1.0986
    """
    pairs = pairs_of_views(predictions, neighbour_features, "neighbour_features")
    negatives = not_self(predictions)
    losses = []
    for predicted, looked_up in pairs:
        logits = neighbour_features[:, looked_up] @ predictions[:, predicted].T / positive(temperature)
        losses.append(log_ratio_loss(logits, ~negatives, negatives, denominator="negatives" if decoupled else "all"))
    return torch.cat(losses).mean()
