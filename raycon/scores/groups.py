"""Who pays for the average: a linear probe's accuracy group by group."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from raycon.knobs import Count, NonNegative
from raycon.scores.probe import ProbeCache
from raycon.seeding import derive_seed
from raycon.statistics import worst_group


def groups(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    groups: Tensor,
    group_count: int,
    probes: ProbeCache,
    aligned: Tensor | None = None,
    train_groups: Tensor | None = None,
    *,
    iterations: Count = 80,
    l2: NonNegative = 1e-4,
) -> dict[str, float]:
    """Accuracy per group of the probe that `linear_probe` fits, and what summarises it.

    A group is a combination of the attributes in `data.groups`. The probe is trained on all training images, without
    regard to groups. `average_accuracy` counts every image once; `unbiased_accuracy` is the mean over groups;
    `worst_accuracy` is the least of them (Sagawa et al. 2020, arXiv 1911.08731); `worst3_accuracy` the mean of the
    three least (of all, when there are fewer). `adjusted_accuracy` weighs every group by its share of the training
    images, as Sagawa et al. do for Waterbirds, whose test groups are otherwise mixed than its training groups; it is
    left out where a group of the training images has no image judged.

    The least of several noisy numbers is biased downwards, the more so the smaller the groups: `worst_bias` estimates
    by how much (0 or less; about 0.8 of it where all groups are equal, see `raycon.statistics.worst_group`), and
    `worst_low` to `worst_high` is the 95 % interval of the lowest true accuracy. `group_G_low` and
    `group_G_high` are Clopper-Pearson intervals that hold for all groups at once (`raycon.statistics.worst_group`).
    All of this is over draws of the images judged.

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
    if train_groups is not None:
        found |= _adjusted(hits, sizes, train_groups)
    if aligned is not None:
        for name, chosen in (("aligned_accuracy", aligned == 1), ("conflicting_accuracy", aligned == 0)):
            if bool(chosen.any()):
                found[name] = float(right[chosen].mean())
    for group, accuracy, size in zip(present.tolist(), accuracies.tolist(), sizes[present].tolist(), strict=True):
        found[f"group_{group}_accuracy"] = accuracy
        found[f"group_{group}_size"] = float(size)
    return found | _intervals(hits, sizes)


def _adjusted(hits: Tensor, sizes: Tensor, train_groups: Tensor) -> dict[str, float]:
    shares = torch.bincount(train_groups, minlength=len(sizes)).double() / len(train_groups)
    needed = shares > 0
    if bool((sizes[needed] == 0).any()):
        return {}
    return {"adjusted_accuracy": float((shares[needed] * hits[needed] / sizes[needed]).sum())}


def _intervals(hits: Tensor, sizes: Tensor) -> dict[str, float]:
    # The draws depend on the number of groups alone, so that the same counts give the same numbers.
    generator = np.random.default_rng(derive_seed(0, "worst_group", len(sizes)))
    worst = worst_group([round(right) for right in hits.tolist()], sizes.tolist(), generator=generator)
    found = {"worst_low": worst.low, "worst_high": worst.high, "worst_bias": worst.bias}
    for group, interval in enumerate(worst.intervals):
        if interval is not None:
            found[f"group_{group}_low"], found[f"group_{group}_high"] = interval
    return found
