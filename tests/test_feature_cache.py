"""Kept embeddings: equal to fresh ones, made again where damaged, never those of another encoder or other data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raycon.checkpoints import MANIFEST, TENSORS
from raycon.datasets import ImageTable
from raycon.feature_cache import FeatureCache, features_folder, fingerprint, table_hash

TABLE = ImageTable(
    images=torch.arange(4 * 3 * 2 * 2).view(4, 3, 2, 2).to(torch.uint8), attributes={"class": torch.arange(4)},
    sizes={"class": 4}, splits={}, mean=(0.5,) * 3, std=(0.25,) * 3,
)  # fmt: skip


def embed(table: ImageTable) -> tuple[Tensor, Tensor]:
    values = table.images[:].flatten(1).float() / 7
    return values, torch.nn.functional.normalize(values, dim=1)


def never(table: ImageTable) -> tuple[Tensor, Tensor]:
    pytest.fail("encoded again")


def test_kept_equals_fresh(tmp_path: Path) -> None:
    first, second = FeatureCache("a", tmp_path), FeatureCache("a", tmp_path)
    fresh = first.encode(TABLE, embed)
    kept = second.encode(TABLE, never)
    assert all(torch.equal(one, other) for one, other in zip(fresh, kept, strict=True))
    assert (first.made, first.found, second.made, second.found) == (1, 0, 0, 1)


@pytest.mark.parametrize("fault", ["flipped", "cut", "gone", "manifest"])
def test_what_is_damaged_is_made_again(tmp_path: Path, fault: str) -> None:
    expected = FeatureCache("a", tmp_path).encode(TABLE, embed)
    (entry,) = tmp_path.iterdir()
    content = bytearray((entry / TENSORS).read_bytes())
    if fault == "flipped":
        content[-3] ^= 1
        (entry / TENSORS).write_bytes(content)
    elif fault == "cut":
        (entry / TENSORS).write_bytes(content[:-9])
    elif fault == "gone":
        (entry / TENSORS).unlink()
    else:
        (entry / MANIFEST).write_text("{")
    again = FeatureCache("a", tmp_path)
    found = again.encode(TABLE, embed)
    assert again.made == 1 and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    FeatureCache("a", tmp_path).encode(TABLE, never)


def changed_pixel() -> ImageTable:
    images = TABLE.images[:].clone()
    images[2, 1, 0, 1] += 1
    return replace(TABLE, images=images)


@pytest.mark.parametrize(
    "other", [changed_pixel(), replace(TABLE, mean=(0.5, 0.5, 0.4)), TABLE.rows(torch.tensor([1, 0, 2, 3]))]
)
def test_other_data_are_another_entry(tmp_path: Path, other: ImageTable) -> None:
    cache = FeatureCache("a", tmp_path)
    cache.encode(TABLE, embed)
    assert table_hash(other) != table_hash(TABLE)
    found, _ = cache.encode(other, embed)
    assert cache.made == 2 and torch.equal(found, embed(other)[0])


def test_attributes_are_no_part_of_what_was_encoded() -> None:
    assert table_hash(replace(TABLE, attributes={"class": torch.zeros(4).long()})) == table_hash(TABLE)


def test_every_weight_and_buffer_counts_and_so_does_the_structure(tmp_path: Path) -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.ReLU())
    prints = {fingerprint(model)}
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1e-6
        prints.add(fingerprint(model))
        model[1].running_var[2] += 1e-6
        prints.add(fingerprint(model))
    model[2] = nn.GELU()
    prints.add(fingerprint(model))
    assert len(prints) == 4
    assert fingerprint(model) == fingerprint(model.eval())
    cache = FeatureCache(fingerprint(model), tmp_path)
    cache.encode(TABLE, embed)
    other = FeatureCache("other", tmp_path)
    other.encode(TABLE, embed)
    assert other.made == 1


def test_the_entries_unused_for_longest_go_first(tmp_path: Path) -> None:
    tables = [replace(TABLE, mean=(0.1 * number,) * 3) for number in range(4)]
    for number, table in enumerate(tables[:3]):
        FeatureCache("a", tmp_path).encode(table, embed)
        for entry in tmp_path.glob(f"*/{MANIFEST}"):
            if entry.stat().st_mtime > 10:
                os.utime(entry, (number, number))
    FeatureCache("a", tmp_path).encode(tables[0], never)  # used again: now the newest
    size = max(sum(path.stat().st_size for path in entry.iterdir()) for entry in tmp_path.iterdir())
    FeatureCache("a", tmp_path, largest=2 * size).encode(tables[3], embed)
    assert len(list(tmp_path.iterdir())) == 2
    FeatureCache("a", tmp_path).encode(tables[0], never)
    FeatureCache("a", tmp_path).encode(tables[3], never)


def test_a_disk_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    cache = FeatureCache("a", blocked / "features")
    assert torch.equal(cache.encode(TABLE, embed)[0], embed(TABLE)[0])


def test_the_folder_is_that_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path))
    assert features_folder() == tmp_path / "features"
    monkeypatch.delenv("RAYCON_CACHE")
    assert features_folder() == Path.home() / ".cache" / "raycon" / "features"
