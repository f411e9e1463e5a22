"""Who pays for the average: a linear probe's accuracy group by group."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.probe import ProbeCache


def groups(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    groups: Tensor,
    group_count: int,
    probes: ProbeCache,
    aligned: Tensor | None = None,
    *,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy per group of the probe that `linear_probe` fits, and what summarises it.

    A group is a combination of the attributes in `data.groups`. The probe is trained on all training images, without
    regard to groups. `average_accuracy` counts every image once; `unbiased_accuracy` is the mean over groups;
    `worst_accuracy` is the least of them (Sagawa et al. 2020, arXiv 1911.08731); `worst3_accuracy` the mean of the
    three least (of all, when there are fewer). The least of several noisy numbers is biased downwards, the more so the
    smaller the groups: read it beside `smallest_size` and the groups' own intervals, which
    `raycon.statistics.clopper_pearson` gives.

    Groups without an image are left out of every summary and counted in `missing`. `aligned_accuracy` and
    `conflicting_accuracy` stand for the images with `aligned` 1 and 0; each is left out when there are none, or when
    the data has no bias.
    """
    probe = probes.fit(train_embeddings, train_labels, iterations=iterations, l2=l2)
    right = (probe.predict(embeddings) == labels).double()
    sizes = torch.bincount(groups, minlength=group_count)
    hits = torch.zeros(len(sizes), dtype=torch.float64, device=right.device).index_add_(0, groups, right)
    present = torch.nonzero(sizes).flatten()
    accuracies = hits[present] / sizes[present]
    found = {
        "average_accuracy": float(right.mean()),
        "unbiased_accuracy": float(accuracies.mean()),
        "worst_accuracy": float(accuracies.min()),
        "worst3_accuracy": float(accuracies.sort().values[:3].mean()),
        "smallest_size": float(sizes[present].min()),
        "missing": float(len(sizes) - len(present)),
    }
    if aligned is not None:
        for name, chosen in (("aligned_accuracy", aligned == 1), ("conflicting_accuracy", aligned == 0)):
            if bool(chosen.any()):
                found[name] = float(right[chosen].mean())
    for group, accuracy, size in zip(present.tolist(), accuracies.tolist(), sizes[present].tolist(), strict=True):
        found[f"group_{group}_accuracy"] = accuracy
        found[f"group_{group}_size"] = float(size)
    return found
