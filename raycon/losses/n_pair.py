"""Multi-class N-pair loss."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import NonNegative, Positive
from raycon.losses.similarity import masked_logsumexp, masked_mean, not_self, positive, same_label, view_rows


def n_pair(
    features: Tensor, labels: Tensor, *, temperature: Positive = 0.1, length_weight: NonNegative = 0.0
) -> Tensor:
    """One positive against all negatives at once, without normalising the inner products by any other positive.

    With s_ab = <z_a, z_b> / temperature, P(a) the other rows of a's class, Q(a) the rows of other classes:
    mean over a and p in P(a) of  log( 1 + sum_{n in Q(a)} e^{s_an - s_ap} )  + length_weight * mean_a |z_a|^2.
    Source: Sohn 2016 (Improved deep metric learning with multi-class N-pair loss objective, NIPS), which has
    temperature 1, unnormalised vectors and one pair of images a class; here all pairs of the batch serve. For the
    paper's vectors: inputs: {features: embeddings}, temperature 1 and a small length_weight.

    Args:
        features: [N, V, D], V >= 1.
        labels: [N] int64.
        temperature: divides the inner products; about 0.03 to 1.
        length_weight: 0 to 0.1; of no use for unit rows.

    Degenerate: an anchor without positives contributes 0 and stays in the mean; without negatives a pair contributes 0.
    Identical rows: log(1 + number of negatives) for an anchor with positives. Raises ValueError for wrong shapes.

    >>> import torch
    >>> alike = torch.ones(4, 1, 1)
    >>> round(n_pair(alike, torch.tensor([0, 0, 1, 1])).item(), 4)  # log 3
    1.0986
    """
    rows = view_rows(features, labels)
    alike = same_label(labels, features.shape[1])
    logits = rows @ rows.T / positive(temperature)
    losses = torch.logaddexp(logits, masked_logsumexp(logits, ~alike)) - logits
    lengths = rows.square().sum(dim=1).mean()
    return masked_mean(losses, alike & not_self(rows)).mean() + length_weight * lengths
