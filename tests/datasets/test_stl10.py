from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raycon.datasets.stl10 import stl10
from raycon.errors import InvalidFile, MissingData


def write_stl10(root: Path) -> Path:
    """12 training and 10 test images in the layout of stl10_binary.tar.gz."""
    folder, random = root / "stl10_binary", np.random.default_rng(0)
    folder.mkdir()
    for name, count in (("train", 12), ("test", 10)):
        random.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8).tofile(folder / f"{name}_X.bin")
        (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(folder / f"{name}_y.bin")
    return folder


def test_images_and_labels_are_read_as_torchvision_reads_them(data_root: Path) -> None:
    from torchvision import datasets

    class Unchecked(datasets.STL10):  # type: ignore[misc]  # torchvision has no types; the fake has other checksums
        def _check_integrity(self) -> bool:
            return True

    write_stl10(data_root)
    table = stl10()
    assert table.images.shape == (22, 3, 96, 96)
    for split in ("train", "test"):
        theirs, ours = Unchecked(str(data_root), split=split), table.split(split)
        assert torch.equal(ours.images[:], torch.from_numpy(theirs.data))
        assert ours.attributes["class"].tolist() == theirs.labels.tolist()


def test_missing_and_broken_files_are_named(data_root: Path) -> None:
    with pytest.raises(MissingData, match=r"stl10_binary lacks train_X\.bin.*stl10_binary\.tar\.gz"):
        stl10()
    folder = write_stl10(data_root)
    np.full(12, 11, dtype=np.uint8).tofile(folder / "train_y.bin")
    with pytest.raises(InvalidFile, match="run from 11 to 11"):
        stl10()
    np.ones(13, dtype=np.uint8).tofile(folder / "train_y.bin")
    with pytest.raises(InvalidFile, match="not 13 images of 3 x 96 x 96") as caught:
        stl10()
    assert caught.value.file == str(folder / "train_X.bin")
