"""Simplified pairwise cross entropy, and its joint form with a learned prototype a class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from raycon.knobs import NonNegative, Positive
from raycon.losses.similarity import positive, prototype_rows, same_label, view_rows


def tightness(
    features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    *,
    temperature: Positive = 0.1,
    prototype_weight: NonNegative = 1.0,
) -> Tensor:
    """Pairwise tightness and contrast of the rows, and the same of the rows with the prototypes.

    spce(features, labels) + prototype_weight * ( -mean_i s(w_{y_i}, z_i) + mean_i log sum_k e^{s(w_k, z_i)} ),
    s(a, b) = <a, b> / temperature. The second part is the cross entropy of prototypes, so one objective trains the
    encoder and the classifier.
    Source: our definition. It takes up the view of cross entropy as tightness plus contrast (Boudiaf et al. 2020, arXiv
    2003.08983); the joint form is our wording of "a simple extension that also learns the classifier".

    Args:
        features: [N, V, D], V >= 1, rows of unit length.
        labels: [N] int64, below K.
        prototypes: [K, D], rows of unit length; the network `prototypes` learns them.
        temperature: divides all inner products; about 0.03 to 1.
        prototype_weight: 0 to 5; 0 is `spce` alone, and the prototypes then stay as they were drawn.

    Degenerate: none; a row is its own partner. Identical rows and prototypes: `spce` + prototype_weight * log K. Raises
    ValueError for wrong shapes.

    >>> import torch
    >>> one = torch.ones(1, 1, 1)
    >>> round(tightness(one, torch.tensor([0]), torch.ones(4, 1), temperature=1.0).item(), 4)  # 0 + log 4
    1.3863
    """
    rows = view_rows(features, labels)
    logits = rows @ prototype_rows(prototypes, features).T / positive(temperature)
    joint = functional.cross_entropy(logits, labels.repeat(features.shape[1]))
    return spce(features, labels, temperature=temperature) + prototype_weight * joint


def spce(features: Tensor, labels: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Simplified pairwise cross entropy: rows are drawn to their class, and away from the sums of all classes.

    With s_ij = <z_i, z_j> / temperature over M rows, i = j included:
    -1/M^2 sum_i sum_{j in class of i} s_ij + 1/M sum_i log sum_{k present} exp( 1/M sum_{j in k} s_ij ).
    Our definition, after the idea of Boudiaf et al. 2020 (arXiv 2003.08983). One class: 0.

    features: [N, V, D], rows of unit length. labels: [N] int64.
    """
    rows, own = view_rows(features, labels), same_label(labels, features.shape[1]).to(features.dtype)
    toward_class = (rows @ rows.T / positive(temperature)) @ own / len(rows)
    # Summing over the rows of a class, each divided by their number, counts the class once.
    once = toward_class - own.sum(dim=0).log()
    return (once.logsumexp(dim=1) - toward_class.diagonal()).mean()
