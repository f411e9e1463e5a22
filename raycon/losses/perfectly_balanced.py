"""Perfectly Balanced as one term: the spread loss, and the authors' code of it for comparisons."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from raycon.knobs import Fraction, NonNegative, Positive
from raycon.losses.class_conditional_infonce import class_conditional_infonce
from raycon.losses.similarity import (
    masked_logsumexp,
    masked_mean,
    one_of,
    positive,
    same_image,
    same_label,
    view_rows,
)
from raycon.losses.supcon import supcon

Kind = Literal["spread", "supcon", "simclr", "repel"]


def spread(
    features: Tensor,
    labels: Tensor,
    *,
    alpha: Fraction = 0.5,
    temperature: Positive = 0.1,
    symmetric: bool = True,
) -> Tensor:
    """(1 - alpha) supcon + alpha class_conditional_infonce, both across views, of cosine similarities.

    The supervised part has one positive in each denominator and its candidates in the other view. The same loss can be
    written as two weighted terms; `spread` is the short way to it, and normalises its rows by itself.
    Source: Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596), L_spread = (1 - alpha) L_sup + alpha L_cNCE.

    Args:
        features: [N, V, D], V >= 2; rows of any length but 0.
        labels: [N] int64.
        alpha: share of the class-conditional part, 0 to 1. The authors' configurations have 0.5.
        temperature: divides the cosines; the authors have 0.5.
        symmetric: both directions of each pair of views; False takes anchors of the later view only, as the authors do.

    Degenerate: an image alone in its class has its own other view as its positive. One class: no negatives, the
    supervised part is 0. Identical rows, n images in each of K classes: (1 - alpha) log(1 + n(K - 1)) + alpha log n.
    Raises ValueError for a single view.

    >>> import torch
    >>> rows = torch.ones(4, 2, 1)
    >>> round(spread(rows, torch.tensor([0, 0, 1, 1])).item(), 4)  # (log 3 + log 2) / 2
    0.8959
    """
    rows = functional.normalize(features, dim=-1)
    supervised = supcon(
        rows,
        labels,
        temperature=temperature,
        denominator="one_positive",
        contrast="cross_view" if symmetric else "cross_view_one_way",
    )
    conditional = class_conditional_infonce(rows, labels, temperature=temperature, symmetric=symmetric)
    return (1 - alpha) * supervised + alpha * conditional


def spread_reference(
    features: Tensor,
    labels: Tensor,
    *,
    kind: Kind = "spread",
    temperature: Positive = 0.5,
    supervised_weight: NonNegative = 1.0,
    spread_weight: NonNegative = 1.0,
    column_norms: bool = True,
    positive_clip: float = 1.0,
    positives_in_denominator: bool = False,
    positives_weight: Positive = 1.0,
) -> Tensor:
    """The authors' code exactly, with what looks unintended in it: to find out whether that matters. Prefer `spread`.

    For each pair of views i > j: anchors in view i, candidates in view j. P: same label, the anchor's own image
    included; Q: other labels; n = logits.
    supervised: mean over P of  log(e^{n_p} + sum_Q e^{n_q}) - lead(n_p);  spread: log sum_P e^{n_p} - n_own.
    Mean over anchors and pairs of (supervised_weight supervised + spread_weight spread) / (sum of the weights).
    Source: Chen et al. 2022 (Perfectly Balanced, arXiv 2204.07596), L_spread; code: HazyResearch/thanos-code.

    Args:
        features: [N, V, D], V >= 2, of any length.
        labels: [N] int64; `simclr` ignores them.
        kind: `spread`; `supcon` drops the spread part; `repel` the supervised part; `simclr` is `supcon` in which every
            image is a class of its own.
        temperature: divides the inner products.
        supervised_weight, spread_weight: the authors' a_lc, a_spread; used by kind `spread`.
        column_norms: divide the logits by the candidate's length in both views: a cosine for unit rows only.
        positive_clip: lead is min(n_p, 1) at exactly 1.0 (their default) and n_p at any other value, as in their code.
        positives_in_denominator: all of P in the denominator, times positives_weight.
        positives_weight: see above.

    Degenerate: P is never empty; no negatives is defined. Raises ValueError for one view or for weights of sum 0.
    Identical unit rows: as `spread`, but for the clip.
    """
    one_of(kind, Kind, "kind")
    view_rows(features, labels, views=2)
    alike = same_image(features) if kind == "simclr" else same_label(labels)
    supervised_share, spread_share = _shares(kind, supervised_weight, spread_weight)
    losses = []
    views = features.unbind(dim=1)
    for anchors, candidates in ((views[i], views[j]) for i in range(len(views)) for j in range(i)):
        logits = anchors @ candidates.T / positive(temperature)
        if column_norms:
            logits = logits / (anchors.norm(dim=1) * candidates.norm(dim=1))
        log_positives, log_negatives = masked_logsumexp(logits, alike), masked_logsumexp(logits, ~alike)
        own = logits if not positives_in_denominator else log_positives + math.log(positives_weight)
        lead = logits.clamp(max=positive_clip) if positive_clip == 1.0 else logits
        supervised = masked_mean(torch.logaddexp(own, log_negatives) - lead, alike)
        spreading = log_positives[:, 0] - logits.diagonal()
        losses.append((supervised_share * supervised + spread_share * spreading).mean())
    return torch.stack(losses).mean()


def _shares(kind: str, supervised_weight: float, spread_weight: float) -> tuple[float, float]:
    """Shares of the supervised and of the spreading part in the authors' weighted mean."""
    if kind in ("supcon", "simclr"):
        return 1.0, 0.0
    if kind == "repel":
        return 0.0, 1.0
    total = supervised_weight + spread_weight
    if total == 0:
        raise ValueError("supervised_weight and spread_weight are both 0")
    return supervised_weight / total, spread_weight / total
