"""Whether a class is told from the rest in every subgroup of the rest: the area under the curve, group by group."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative, Whole
from raycon.scores.probe import ProbeCache
from raycon.scores.ranking import area_under_curve


def subgroup_ranking(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    groups: Tensor,
    probes: ProbeCache,
    *,
    positive: Whole = 1,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Area under the ROC curve of the linear probe's probability of the label `positive`.

    `area`: all images of the label against all others. `group_G_area`: all images of the label against the others of
    group G alone, which is how ISIC is judged (malignant against the benign images with and without a patch; Sohoni et
    al. 2020, arXiv 2011.12945). `worst_area`: the least of these. 0.5 is chance.

    Degenerate: groups whose images all have the label are left out; everything is, when the label is not among the
    training images, or among those judged, or when there are no others.
    """
    probe = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2)
    columns = (probe.classes == positive).nonzero().flatten()
    chosen = labels == positive
    if not len(columns) or not bool(chosen.any()) or bool(chosen.all()):
        return {}
    values = _log_odds(probe.logits(embeddings).double(), int(columns[0]))
    found = {"area": area_under_curve(values[chosen], values[~chosen])}
    areas = {
        f"group_{group}_area": area_under_curve(values[chosen], values[~chosen & (groups == group)])
        for group in torch.unique(groups[~chosen]).tolist()
    }
    return found | areas | {"worst_area": min(areas.values())}


def _log_odds(logits: Tensor, column: int) -> Tensor:
    """log p - log (1 - p): it rises with p, and does not round to 1 where the probe is very sure."""
    others = logits.clone()
    others[:, column] = -torch.inf
    rest = others.logsumexp(dim=1)
    # One label alone was trained on: nothing ranks the images.
    return torch.where(rest.isinf(), torch.zeros_like(rest), logits[:, column] - rest)
