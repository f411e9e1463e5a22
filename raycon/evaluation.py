"""Judges a frozen encoder: embeds whole tables once, proves that this changed nothing, and runs the protocols."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from raycon.collectives import gather_shards, rank, shard
from raycon.config import Trial
from raycon.datasets import ImageTable
from raycon.fine_tuning import EmbedRows
from raycon.further_images import embed_further
from raycon.networks.encoders import encoder_buffers
from raycon.networks.named import NamedEncoder
from raycon.scores import Embedded, NotFinite, evaluate
from raycon.step import Step

ROWS_AT_ONCE = 500


Judged = Step | NamedEncoder
Encode = Callable[[ImageTable], tuple[Tensor, Tensor]]
"""A table's embeddings and features."""


def score_encoder(
    step: Judged,
    trial: Trial,
    tables: Mapping[str, ImageTable],
    split: str,
    device: str = "cpu",
    encode: Encode | None = None,
) -> dict[str, float]:
    """All protocols of `trial.scores` on one split, as {`split/protocol/metric`: value}; empty on ranks other than 0.

    tables: `train`, on which probes are fitted, and `split`; what else a protocol needs encoded, corrupted copies or
    images of another data set, is made here (`raycon.further_images`). The encoder is in evaluation mode, without
    gradient; protocols that train have a copy. encode: in place of `embed_images`, to remember what was encoded before.
    Raises RuntimeError if a buffer of the encoder changed meanwhile.
    """
    encode = encode or (lambda table: embed_images(step, table, device))
    embedded = {name: _embedded(trial, tables[name], *encode(tables[name])) for name in ("train", split)}

    def embed(table: ImageTable) -> Tensor:
        embeddings, _ = encode(table)
        if not bool(torch.isfinite(embeddings).all()):
            raise NotFinite("embeddings are not finite")
        return embeddings

    further = embed_further(trial, tables, split, embed, lambda: _copied(step, device))
    if rank() != 0:
        return {}
    return evaluate(trial, embedded, split, further)


def _copied(step: Judged, device: str) -> tuple[nn.Module, EmbedRows]:
    """A copy in evaluation mode, and how it embeds rows of a table."""
    twin = copy.deepcopy(step).eval()
    return twin, lambda table, rows: _embed_rows(twin, table, rows, device)[0]


def embed_table(step: Judged, trial: Trial, table: ImageTable, device: str = "cpu") -> Embedded:
    """The embeddings and unit features of every image of a table, with what they are judged against."""
    return _embedded(trial, table, *embed_images(step, table, device))


def _embedded(trial: Trial, table: ImageTable, embeddings: Tensor, features: Tensor) -> Embedded:
    groups, count = table.product(trial.data.groups)
    return Embedded(
        embeddings=embeddings,
        features=features,
        attributes=dict(table.attributes),
        sizes=dict(table.sizes),
        labels=table.attributes[trial.data.labels],
        groups=groups if trial.data.groups else None,
        group_count=count,
    )


@torch.no_grad()
def embed_images(step: Judged, table: ImageTable, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """The embeddings and unit features of every image of a table, float32, without augmentation. Workers share the
    images, and each has the result."""
    before = encoder_buffers(step)
    with evaluating(step):
        mine = shard(len(table))
        chunks = torch.split(torch.arange(len(table))[mine], ROWS_AT_ONCE)
        parts = [_embed_rows(step, table, rows, device) for rows in chunks]
    embeddings, features = (gather_shards(torch.cat(column), len(table)) for column in zip(*parts, strict=True))
    if not torch.equal(before, encoder_buffers(step)):
        raise RuntimeError("an evaluation changed the buffers of the encoder")
    return embeddings.float().cpu(), features.float().cpu()


@contextmanager
def evaluating(step: Judged) -> Iterator[None]:
    """Evaluation mode; afterwards every part is in the mode in which it was."""
    modes = [(part, part.training) for part in step.modules()]
    step.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _embed_rows(step: Judged, table: ImageTable, rows: Tensor, device: str) -> tuple[Tensor, Tensor]:
    return step.represent(step.prepare(table.images[rows].to(device), table.mean, table.std))
