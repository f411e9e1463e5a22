from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raycon.config import Bias, Data
from raycon.datasets import load_tables
from raycon.datasets.mnist import mnist
from raycon.errors import InvalidFile, MissingData
from tests.datasets.fakes import write_fashion_mnist, write_idx


@pytest.mark.parametrize("inside", ["mnist", "MNIST/raw", "MNIST"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_all_layouts_are_read(data_root: Path, inside: str, suffix: str) -> None:
    write_fashion_mnist(data_root / inside, suffix=suffix)
    table = mnist()
    assert table.images.shape == (70, 1, 28, 28)
    assert table.attributes["class"].tolist() == [*[i % 10 for i in range(50)], *[i % 10 for i in range(20)]]


def test_files_are_read_as_torchvision_reads_them(data_root: Path) -> None:
    from torchvision.datasets import MNIST

    write_fashion_mnist(data_root / "MNIST" / "raw", suffix="")
    table = mnist()
    for split in ("train", "test"):
        theirs = MNIST(str(data_root), train=split == "train")
        assert torch.equal(table.split(split).images[:][:, 0], theirs.data)
        assert torch.equal(table.split(split).attributes["class"], theirs.targets)


def test_the_files_of_fashion_mnist_are_not_taken_for_it(data_root: Path) -> None:
    """They have the same names, and may lie in the data folder itself."""
    write_fashion_mnist(data_root)
    with pytest.raises(MissingData, match=r"MNIST/raw lacks train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"):
        mnist()


def test_broken_files_are_named(data_root: Path) -> None:
    write_fashion_mnist(data_root / "mnist", suffix="")
    write_idx(data_root / "mnist" / "t10k-labels-idx1-ubyte", np.full(20, 10))
    with pytest.raises(InvalidFile, match="label 10 is beyond 9"):
        mnist()


@pytest.mark.parametrize("place", ["background", "foreground"])
def test_colours_make_biased_mnist_and_colored_mnist(data_root: Path, place: str) -> None:
    write_fashion_mnist(data_root / "mnist", train=300)
    data = Data(dataset="mnist", bias=Bias(rate=0.9, place=place))  # type: ignore[arg-type]  # parametrised
    table = load_tables(data, split_seed=0)["train"]
    assert table.images.shape[1:] == (3, 28, 28)
    assert table.sizes == {"class": 10, "colour": 10, "aligned": 2}
