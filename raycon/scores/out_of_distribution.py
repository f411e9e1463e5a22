"""Whether images of another kind can be told from the ones judged, by how far they are from the training images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from raycon.knobs import Count
from raycon.scores.ranking import area_under_curve, false_alarms_at
from raycon.seeding import derive_seed

ROWS_AT_ONCE = 1024
RIDGE = 1e-3


def out_of_distribution(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    outsiders: Tensor,
    *,
    dataset: str = "digits",
    images: Count = 2000,
    bank: Count = 5000,
    distance: Literal["neighbours", "mahalanobis"] = "neighbours",
    neighbours: Count = 50,
) -> dict[str, float]:
    """Detection of images of the data set `dataset` among the images judged.

    `area`: area under the ROC curve, an image judged being positive and close; 0.5 is chance. `false_alarms`: the
    share of outsiders taken for insiders at the threshold that 95 % of the images judged pass (FPR95). The outsiders
    come from the split of `dataset` with the name of the split judged, resampled to the same size, grey or in colour
    alike. A high value may mean that the sets differ in a trivial way (contrast, blur), and says so of nothing else.

    distance: `neighbours` is the distance of unit embeddings to the k-th nearest of the training images (Sun et al.
    2022, arXiv 2204.06507; k = `neighbours`); `mahalanobis` that to the nearest label's mean under the covariance
    within labels, to which 0.001 of its mean eigenvalue is added (Lee et al. 2018, arXiv 1807.03888, one layer, without
    their input noise). images, bank: at most so many outsiders, images judged, and training images; fixed subsets.

    Degenerate: fewer training images than `neighbours`: the farthest of them. Constant embeddings: an area of 0.5.
    """
    rows = fixed_rows(len(train_embeddings), bank, "bank").to(train_embeddings.device)
    known, labels = train_embeddings[rows], train_labels[rows]
    judged = embeddings[fixed_rows(len(embeddings), images, "judged").to(embeddings.device)]
    if distance == "neighbours":
        near, far = (neighbour_distances(known, values, neighbours) for values in (judged, outsiders))
    else:
        near, far = mahalanobis_distances(known, labels, judged), mahalanobis_distances(known, labels, outsiders)
    return {"area": area_under_curve(-near, -far), "false_alarms": false_alarms_at(-near, -far)}


def fixed_rows(count: int, most: int, name: str) -> Tensor:
    """At most `most` of `count` rows, int64 in rising order; which ones depends on the arguments alone."""
    generator = torch.Generator().manual_seed(derive_seed(0, name, count))
    return torch.randperm(count, generator=generator)[:most].sort().values


def neighbour_distances(known: Tensor, queries: Tensor, neighbours: int) -> Tensor:
    """The distance of each unit row to its k-th nearest unit row of `known`: [n, E] -> [n]."""
    bank, rows = normalize(known.float(), dim=1), normalize(queries.float(), dim=1)
    count = min(neighbours, len(bank))
    nearness = [(chunk @ bank.T).topk(count, dim=1).values[:, -1] for chunk in torch.split(rows, ROWS_AT_ONCE)]
    return (2 - 2 * torch.cat(nearness)).clamp(min=0).sqrt()


def mahalanobis_distances(known: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The least squared Mahalanobis distance of each row to a label's mean: [n, E] -> float64 [n]."""
    present, index = torch.unique(labels, return_inverse=True)
    rows = known.double()
    sums = rows.new_zeros(len(present), rows.shape[1]).index_add_(0, index, rows)
    means = sums / torch.bincount(index)[:, None]
    spread = rows - means[index]
    covariance = spread.T @ spread / len(rows)
    size = float(covariance.diagonal().mean())
    if size == 0:
        return torch.cdist(queries.double(), means).amin(dim=1).square()
    covariance += RIDGE * size * torch.eye(len(covariance), dtype=torch.float64, device=rows.device)
    factor = torch.linalg.cholesky(covariance)
    white_means, white = (torch.linalg.solve_triangular(factor, v.T, upper=False).T for v in (means, queries.double()))
    return torch.cdist(white, white_means).amin(dim=1).square()
