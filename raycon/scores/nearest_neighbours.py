"""Whether images with the same label lie near to each other: a vote of the nearest training images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from raycon.knobs import Count, Positive

ROWS_AT_ONCE = 256
GROUP = 32
"""Columns that are looked at together before any of them is sorted."""


def nearest_neighbours(
    train_embeddings: Tensor,
    train_labels: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    *,
    neighbours: Count = 20,
    vote: Literal["weighted", "majority"] = "weighted",
    temperature: Positive = 0.07,
) -> dict[str, float]:
    """Accuracy of the vote of the `neighbours` training images with the largest cosine similarity, exact search.

    `weighted`: a neighbour of similarity s votes with exp(s / temperature), as in Wu et al. 2018 (arXiv 1805.01978),
    whose temperature is the default. `majority`: every neighbour has one vote and `temperature` is not used.

    Equal similarities: the training image that comes first is nearer. Equal votes: the smaller label wins. A zero row
    has similarity 0 to all. More neighbours than training images: all of them vote. An image that is itself among the
    training images (the train split is judged) is its own nearest neighbour.
    """
    bank = normalize(train_embeddings.float(), dim=1)
    queries = normalize(embeddings.float(), dim=1)
    classes, targets = torch.unique(train_labels, return_inverse=True)
    count = min(neighbours, len(bank))
    hits = 0
    for start in range(0, len(queries), ROWS_AT_ONCE):
        nearness, rows = nearest_rows(queries[start : start + ROWS_AT_ONCE] @ bank.T, count)
        weights = torch.ones_like(nearness) if vote == "majority" else ((nearness - 1) / temperature).exp()
        ballots = torch.zeros(len(rows), len(classes), dtype=torch.float64, device=rows.device)
        ballots.scatter_add_(1, targets[rows], weights)
        hits += int((classes[ballots.argmax(dim=1)] == labels[start : start + ROWS_AT_ONCE]).sum())
    return {"accuracy": hits / len(queries)}


def nearest_rows(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values of each row, float64 [n, count], and their columns, int64 [n, count].

    Of equal values the leftmost is taken. `topk` leaves open which of them it takes, so the rows in which the last
    place is contested are sorted in full. With many columns only the `count` groups of them with the largest maxima
    are searched: all others have nothing that is larger than the value in the last place.
    """
    columns_count = similarities.shape[1]
    groups = -(-columns_count // GROUP)
    if groups <= count:
        values, columns = similarities.topk(count, dim=1)
        contested = (similarities >= values[:, -1:]).sum(dim=1) > count
    else:
        best = _group_maxima(similarities, groups)
        chosen = best.topk(count, dim=1).indices
        # Group g has the columns g, g + groups, g + 2 groups, ...; the last one may lie beyond the end.
        candidates = (chosen[:, :, None] + torch.arange(GROUP, device=chosen.device) * groups).flatten(1)
        found = similarities.gather(1, candidates.clamp(max=columns_count - 1))
        found.masked_fill_(candidates >= columns_count, -torch.inf)
        values, places = found.topk(count, dim=1)
        columns = candidates.gather(1, places)
        last = values[:, -1:]
        contested = ((found >= last).sum(dim=1) > count) | ((best >= last).sum(dim=1) > count)
    if bool(contested.any()):
        order = similarities[contested].sort(dim=1, descending=True, stable=True).indices
        columns[contested] = order[:, :count]
    return values.double(), columns


def _group_maxima(similarities: Tensor, groups: int) -> Tensor:
    """The largest value of each group of columns, [n, groups]; the columns of a group are `groups` apart."""
    whole = similarities.shape[1] // groups * groups
    best: Tensor = similarities[:, :whole].reshape(len(similarities), -1, groups).amax(dim=1)
    rest = similarities.shape[1] - whole
    best[:, :rest] = torch.maximum(best[:, :rest], similarities[:, whole:])
    return best
