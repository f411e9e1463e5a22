"""Your own images: files and a CSV that says what is on them."""

from __future__ import annotations

import torch
from torch import Tensor

from raycon.config import Folder
from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder_listing import folder_info, read_listing
from raycon.datasets.splits import stratified_sample
from raycon.datasets.table import ImageTable

HOLDOUT_SEED = 20
HOLDOUT_SHARE = 0.2


def folder_images(folder: Folder, size: int) -> ImageTable:
    """The images that the CSV lists, in its order, uint8 [n, 3, size, size], decoded as `decoded_images` says.

    Attributes: `class`, and a column of integers for each of `folder.attributes`. Where the CSV names no splits, a
    fifth of the images, stratified by class, is held out with the constant `HOLDOUT_SEED`.
    """
    listing, info = read_listing(folder), folder_info(folder)
    attributes = {name: torch.tensor(codes, dtype=torch.int64) for name, codes in listing.codes.items()}
    rows = torch.arange(len(listing.paths))
    return ImageTable(
        images=decoded_images("folder", listing.paths, size),
        attributes=attributes,
        sizes=dict(info.attributes),
        splits=held_out(rows, attributes["class"]) if listing.splits is None else split_rows(listing.splits),
        mean=info.mean,
        std=info.std,
    )


def split_rows(names: tuple[str, ...]) -> dict[str, Tensor]:
    """The rows of every split that occurs in `names`, the split of each row."""
    found = dict.fromkeys(sorted(set(names), key=("train", "validation", "test").index))
    return {split: torch.tensor([row for row, own in enumerate(names) if own == split]) for split in found}


def held_out(rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """A fifth of `rows`, stratified by `labels` (indexed by row), as `test`, the others as `train`: the same always."""
    test = stratified_sample(rows, labels, round(len(rows) * HOLDOUT_SHARE), seed=HOLDOUT_SEED)
    return {"train": rows[~torch.isin(rows, test)], "test": test}
