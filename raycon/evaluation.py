"""Judges a frozen encoder: embeds whole tables once, proves that this changed nothing, and runs the protocols."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raycon.collectives import gather_shards, rank, shard
from raycon.config import Trial
from raycon.datasets import ImageTable, normalise
from raycon.further_images import embed_further
from raycon.networks.encoders import encoder_buffers
from raycon.scores import Embedded, NotFinite, evaluate
from raycon.step import Step

ROWS_AT_ONCE = 1000


def score_encoder(
    step: Step, trial: Trial, tables: Mapping[str, ImageTable], split: str, device: str = "cpu"
) -> dict[str, float]:
    """All protocols of `trial.scores` on one split, as {`split/protocol/metric`: value}; empty on ranks other than 0.

    tables: `train`, on which probes are fitted, and `split`; what else a protocol needs encoded, corrupted copies or
    images of another data set, is made here (`raycon.further_images`). The encoder is in evaluation mode, without
    gradient. Raises RuntimeError if a buffer of the encoder changed meanwhile.
    """
    embedded = {name: embed_table(step, trial, tables[name], device) for name in ("train", split)}

    def embed(table: ImageTable) -> Tensor:
        embeddings, _ = embed_images(step, table, device)
        if not bool(torch.isfinite(embeddings).all()):
            raise NotFinite("embeddings are not finite")
        return embeddings

    further = embed_further(trial, tables, split, embed)
    if rank() != 0:
        return {}
    return evaluate(trial, embedded, split, further)


def embed_table(step: Step, trial: Trial, table: ImageTable, device: str = "cpu") -> Embedded:
    """The embeddings and unit features of every image of a table, with what they are judged against."""
    embeddings, features = embed_images(step, table, device)
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
def embed_images(step: Step, table: ImageTable, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """The embeddings and unit features of every image of a table, float32, without augmentation. Workers share the
    images, and each has the result."""
    was_training = step.training
    step.eval()
    before = encoder_buffers(step)
    mine = shard(len(table))
    chunks = torch.split(torch.arange(len(table))[mine], ROWS_AT_ONCE)
    parts = [_embed_rows(step, table, rows, device) for rows in chunks]
    embeddings, features = (gather_shards(torch.cat(column), len(table)) for column in zip(*parts, strict=True))
    if not torch.equal(before, encoder_buffers(step)):
        raise RuntimeError("an evaluation changed the buffers of the encoder")
    step.train(was_training)
    return embeddings.float().cpu(), features.float().cpu()


def _embed_rows(step: Step, table: ImageTable, rows: Tensor, device: str) -> tuple[Tensor, Tensor]:
    images = normalise(table.images[rows].to(device), table.mean, table.std, step.full)
    return step.represent(images)
