"""Prototypes of the training set, clustered anew before every epoch, and a partner image for every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from raycon.collectives import gather_rows, rank
from raycon.errors import Diverged, InvalidFile
from raycon.knobs import Count, Fraction
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes
from raycon.networks.k_means import Start, k_means, whiten

PROTOTYPES = 32
"""How many there are by default, here and in the classifier that learns them."""


class ImagePrototypes(Auxiliary):
    """indices [N] -> the prototype of each image, and a partner from the training set.

    Before every epoch the encoder embeds all training images, one after another and without augmentation; the
    embeddings are whitened to `dimensions` at most, brought to unit length, and k-means gives every image one of
    `prototypes` clusters, under seeds of the epoch's own. Each image of a batch then gets a partner: with probability
    `same_share` another image of its prototype, else an image of another prototype, which is drawn uniformly among
    those that have images, and then uniformly among these. An image alone in its prototype takes another one's; where
    all share one prototype, partners do too.

    assignments, partner_assignments [N]; same_prototype [N], 1 or 0; partner_views [N, V, C, H, W].
    Source: Mo, Sun and Li (Siamese Prototypical Contrastive Learning, arXiv 2208.08819), after the authors' public code
    (stoneMo/SPCL 357015d). That code draws both images of a pair, and the prototype of a same pair uniformly; here the
    first one is the batch's own image, so that an epoch still sees every image once. It also keeps pseudo-labels by
    their place in a loader that draws at random; here they belong to the image's row in the table.

    Knobs: prototypes (authors: 512 of 50,000 images; about 1 to 16 a class, and at least 20 images for each),
    dimensions (authors: 256), iterations (20), start (authors: random), same_share (0.5).
    Raises InvalidFile for more prototypes than training images, Diverged for embeddings that are not finite.
    """

    provides = ("assignments", "partner_assignments", "same_prototype", "partner_views")
    sized_by_data: ClassVar[tuple[str, ...]] = ("clusters",)
    clusters: Tensor

    def __init__(
        self,
        shapes: Shapes,
        *,
        prototypes: Count = PROTOTYPES,
        dimensions: Count = 256,
        iterations: Count = 20,
        start: Start = "plus_plus",
        same_share: Fraction = 0.5,
    ):
        super().__init__()
        self.prototypes, self.dimensions, self.iterations, self.start = prototypes, dimensions, iterations, start
        self.same_share = same_share
        self.register_buffer("clusters", torch.zeros(0, dtype=torch.int64))
        self.make_views: Callable[[Tensor], Tensor] | None = None

    def prepare(self, preparation: Preparation) -> None:
        if len(preparation.table) < self.prototypes:
            reason = f"{self.prototypes} is more than the {len(preparation.table)} training images"
            raise InvalidFile(reason, field="networks.image_prototypes.prototypes")
        self.follow(self.clusters if preparation.resumed else self._cluster(preparation), preparation.make_views)

    def _cluster(self, preparation: Preparation) -> Tensor:
        """What rank 0 finds holds for all: a rounding of another processor could turn one image, and then many."""
        embeddings = preparation.embed()
        if not bool(embeddings.isfinite().all()):
            # The last loss was finite, but the step that it led to was not survived by the weights.
            raise Diverged("an embedding of the training images", epoch=preparation.epoch + 1, step=1)
        found = torch.zeros(len(embeddings), dtype=torch.int64)
        if rank() == 0:
            generator = torch.Generator().manual_seed(preparation.seed)
            rows = whiten(embeddings, self.dimensions)
            found = k_means(rows, self.prototypes, generator=generator, iterations=self.iterations, start=self.start)
        return gather_rows(found.to(self.clusters.device))[: len(embeddings)]

    def follow(self, clusters: Tensor, make_views: Callable[[Tensor], Tensor]) -> None:
        """Takes up a clustering [n], and lists the images prototype by prototype. Never waits for the device."""
        self.clusters, self.make_views = clusters, make_views
        self.members = clusters.argsort(stable=True)
        self.counts = _zeros(self.prototypes, clusters).index_add(0, clusters, torch.ones_like(clusters))
        self.starts = self.counts.cumsum(dim=0) - self.counts
        places = torch.arange(len(clusters), device=clusters.device)
        self.place = torch.empty_like(clusters).scatter(0, self.members, places - self.starts[clusters[self.members]])
        # The prototypes that have images come first.
        self.occupied = (self.counts == 0).to(torch.uint8).argsort(stable=True)
        numbers = torch.arange(self.prototypes, device=clusters.device)
        self.occupied_place = torch.empty_like(self.occupied).scatter(0, self.occupied, numbers)
        self.occupied_count = (self.counts > 0).sum()

    def forward(self, indices: Tensor, draws: Tensor) -> dict[str, Tensor]:
        if self.make_views is None:
            raise RuntimeError("the training images are clustered before an epoch, and no epoch has begun")
        own = self.clusters[indices]
        partners = self.partners(indices, draws)
        theirs = self.clusters[partners]
        return {
            "assignments": own,
            "partner_assignments": theirs,
            "same_prototype": (own == theirs).long(),
            "partner_views": self.make_views(partners),
        }

    def partners(self, indices: Tensor, draws: Tensor) -> Tensor:
        """The row number of each image's partner [N]. draws: [N, R], of which the first three are used."""
        own = self.clusters[indices]
        mates, prototypes = self.counts[own], self.occupied_count.expand(len(own))
        same = (draws[:, 0] < self.same_share) & (mates > 1) | (prototypes == 1)
        foreign = self.occupied[_drawn_without(draws[:, 1], self.occupied_place[own], prototypes)]
        mate = _drawn_without(draws[:, 2], self.place[indices], mates)
        place = torch.where(same, mate, _drawn(draws[:, 2], self.counts[foreign]))
        chosen: Tensor = self.members[self.starts[torch.where(same, own, foreign)] + place]
        return chosen


def _zeros(count: int, like: Tensor) -> Tensor:
    return torch.zeros(count, dtype=like.dtype, device=like.device)


def _drawn(draws: Tensor, counts: Tensor) -> Tensor:
    """Uniform in 0 to count - 1, count being 1 at least. In float32 a product with a number below 1 may round up."""
    return torch.minimum((draws * counts).long(), counts - 1)


def _drawn_without(draws: Tensor, excluded: Tensor, counts: Tensor) -> Tensor:
    """Uniform in 0 to count - 1 but for `excluded`; `excluded` itself where there is nothing else."""
    place = _drawn(draws, (counts - 1).clamp(min=1))
    return torch.minimum(place + (place >= excluded), counts - 1)
