"""Clusters within each label: k-means, with the number of clusters chosen by the silhouette."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raycon.seeding import derive_seed

ROWS = 1000
"""Of each label at most so many images are clustered: silhouettes cost the square of it; the others are assigned."""

RESTARTS = 3


@dataclass(frozen=True)
class Clusters:
    """centres: label -> float64 [k, E]. Groups are numbered over the labels in rising order, then over centres."""

    centres: dict[int, Tensor]

    def __len__(self) -> int:
        return sum(len(centres) for centres in self.centres.values())

    def assign(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The nearest centre of each row's own label, int64 [n]; -1 for a label that has none."""
        found = torch.full_like(labels, -1)
        first = 0
        for label, centres in self.centres.items():
            rows = (labels == label).nonzero().flatten()
            distances = torch.cdist(embeddings[rows].double(), centres.to(embeddings.device))
            found[rows] = first + distances.argmin(dim=1)
            first += len(centres)
        return found


def cluster_labels(embeddings: Tensor, labels: Tensor, *, most: int) -> Clusters:
    """The clusters of every label, 1 to `most` each; none is without an image of `embeddings`.

    For k = 2 to `most`, k-means with three starts; the k with the highest mean over clusters of their mean silhouette
    is taken, of equal ones the larger (the rule of GEORGE's public code). At most 1000 images of a label are used,
    drawn by their number alone. One cluster where there are fewer than three distinct rows, or `most` is 1.
    """
    centres = {}
    for label in torch.unique(labels).tolist():
        rows = (labels == label).nonzero().flatten()
        generator = torch.Generator().manual_seed(derive_seed(0, "clusters", len(rows)))
        rows = rows[torch.randperm(len(rows), generator=generator)[:ROWS].sort().values.to(rows.device)]
        values = embeddings[rows].double().cpu().numpy()
        found = torch.from_numpy(_centres(values, most))
        # k-means stops before its centres are exact: one that is nearest to no image would be a group without any.
        nearest = torch.cdist(torch.from_numpy(values), found).argmin(dim=1)
        centres[int(label)] = found[torch.unique(nearest)]
    return Clusters(centres)


def _centres(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances, silhouette_samples

    distinct = len(np.unique(values, axis=0))
    best = -np.inf
    centres: NDArray[np.float64] = values.mean(axis=0, keepdims=True)
    counts = range(2, min(most, distinct - 1) + 1)
    distances = pairwise_distances(values) if counts else None  # the same for every number of clusters
    for count in counts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows that are equal up to rounding: fewer clusters, handled below
            fitted = KMeans(count, n_init=RESTARTS, random_state=0).fit(values)
        used = np.unique(fitted.labels_)
        if len(used) < 2:
            continue
        silhouettes = silhouette_samples(distances, fitted.labels_, metric="precomputed")
        score = float(np.mean([silhouettes[fitted.labels_ == cluster].mean() for cluster in used]))
        if score >= best:
            best, centres = score, fitted.cluster_centers_[used]
    return centres
