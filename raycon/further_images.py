"""Makes what protocols ask for beside the encoded splits: corrupted copies of images, other data sets, a tuned copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raycon.collectives import rank
from raycon.config import Data, Trial
from raycon.datasets import ImageTable, load_tables
from raycon.datasets.corruptions import FAMILIES, SEVERITIES, corrupted
from raycon.fine_tuning import Copied, tuned
from raycon.scores import PROTOCOLS, Corrupted, FineTuned, Transferred
from raycon.scores.out_of_distribution import fixed_rows
from raycon.signatures import check_knobs

Embed = Callable[[ImageTable], Tensor]
PIXEL_SIDE = 32
PIXEL_IMAGES = 2000


@dataclass(frozen=True)
class Source:
    """The encoder. embed: the embeddings of a table, frozen. copied: a copy of it to train, where it can be copied."""

    embed: Embed
    copied: Copied | None = None


def embed_further(
    trial: Trial, tables: Mapping[str, ImageTable], split: str, embed: Embed, copied: Copied | None = None
) -> dict[str, object]:
    """What the protocols of `trial.scores` need beside `tables`: name of the score vocabulary -> value.

    `embed` gives the embeddings of a table; all workers call it together, in the same order. `copied` gives a copy of
    the encoder that may be trained; without it there is no `fine_tuned`, which worker 0 alone makes. Nothing is encoded
    that no protocol asks for.
    """
    source = Source(embed, copied)
    made: dict[str, object] = {}
    for protocol, (name, prepare) in PREPARED.items():
        if protocol in trial.scores:
            knobs = check_knobs(PROTOCOLS[protocol], trial.scores[protocol])
            made[name] = prepare(trial, tables, split, source, knobs)
    return {name: value for name, value in made.items() if value is not None}


def _corrupted(
    trial: Trial, tables: Mapping[str, ImageTable], split: str, source: Source, knobs: Mapping[str, Any]
) -> Corrupted:
    """15 families x 5 severities of at most `images` images judged; a family is encoded at a time."""
    rows = fixed_rows(len(tables[split]), knobs["images"], "corruptions")
    clean, embeddings, pixels = tables[split].rows(rows), {}, {}
    for family in FAMILIES:
        copies = [corrupted(clean, family, severity, seed=0) for severity in SEVERITIES]
        together = replace(
            clean, images=torch.cat([copy.images[:] for copy in copies]),
            attributes={name: values.repeat(len(copies)) for name, values in clean.attributes.items()},
        )  # fmt: skip
        parts = torch.split(source.embed(together), len(rows))
        for severity, copy, part in zip(SEVERITIES, copies, parts, strict=True):
            embeddings[family, severity], pixels[family, severity] = part, _pixels(copy)
    train_rows = fixed_rows(len(tables["train"]), PIXEL_IMAGES, "pixels")
    return Corrupted(rows, embeddings, pixels, _pixels(clean), train_rows, _pixels(tables["train"].rows(train_rows)))


def _pixels(table: ImageTable) -> Tensor:
    """uint8 [n, P]: the values of images of at most 32 x 32 pixels, larger ones being averaged to that."""
    images = table.images[:].cpu()
    if max(images.shape[2:]) > PIXEL_SIDE:
        images = functional.interpolate(images.float(), (PIXEL_SIDE, PIXEL_SIDE), mode="area").round().to(torch.uint8)
    return images.flatten(1)


def _outsiders(
    trial: Trial, tables: Mapping[str, ImageTable], split: str, source: Source, knobs: Mapping[str, Any]
) -> Tensor:
    return source.embed(_foreign(trial, tables[split], knobs["dataset"], split, knobs["images"]))


def _transferred(
    trial: Trial, tables: Mapping[str, ImageTable], split: str, source: Source, knobs: Mapping[str, Any]
) -> Transferred:
    train = _foreign(trial, tables[split], knobs["dataset"], "train", knobs["train_images"])
    judged = _foreign(trial, tables[split], knobs["dataset"], split, knobs["images"])
    embeddings, judged_embeddings = source.embed(train), source.embed(judged)
    return Transferred(embeddings, train.attributes["class"], judged_embeddings, judged.attributes["class"])


def _fine_tuned(
    trial: Trial, tables: Mapping[str, ImageTable], split: str, source: Source, knobs: Mapping[str, Any]
) -> FineTuned | None:
    if source.copied is None or rank() != 0:
        return None
    return tuned(source.copied, tables["train"], trial.data.labels, tables[split], **knobs)


PREPARED: dict[str, tuple[str, Callable[..., object]]] = {
    "corruptions": ("corrupted", _corrupted),
    "out_of_distribution": ("outsiders", _outsiders),
    "transfer": ("transferred", _transferred),
    "fine_tune": ("fine_tuned", _fine_tuned),
}
"""protocol -> the name of the score vocabulary that is made for it alone, and how."""


def _foreign(trial: Trial, like: ImageTable, dataset: str, split: str, most: int) -> ImageTable:
    """At most `most` images of a split of another data set, as large and as grey as `like`, normalised as it is."""
    channels, size = like.images.shape[1], like.images.shape[2]
    table = _loaded(dataset, size, channels, trial.seeds.split, split, most)
    return replace(table, mean=like.mean, std=like.std)


@lru_cache(maxsize=6)
def _loaded(dataset: str, size: int, channels: int, seed: int, split: str, most: int) -> ImageTable:
    """A cache of its own, as a run asks again after every epoch, and the tables of the run itself must stay."""
    table = load_tables(Data(dataset=dataset, size=size), split_seed=seed, splits=(split,))[split]
    table = table.rows(fixed_rows(len(table), most, "foreign"))
    images = table.images[:]
    if images.shape[1] != channels:
        grey = images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
        images = grey.repeat(1, channels, 1, 1)
    return replace(table, images=images)
