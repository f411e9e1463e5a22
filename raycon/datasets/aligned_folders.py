"""bFFHQ, Corrupted CIFAR-10 and Colored MNIST as published: folders of images that go with their cue, or conflict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder import split_rows
from raycon.datasets.info import DatasetInfo
from raycon.datasets.places import find_folder, image_files
from raycon.datasets.published import BFFHQ, COLORED_MNIST, CORRUPTED_CIFAR10
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile

ADVICE = "Get {archive} through https://github.com/kakaoenterprise/Learning-Debiased-Disentangled and unpack it there."


def bffhq(size: int) -> ImageTable:
    """Faces by age (class), of which 0.5 % of the training ones conflict with their gender: uint8 [n, 3, size, size].

    Layout: `0.5pct/align/<class>/*`, `0.5pct/conflict/<class>/*`, `valid/*` and `test/*`, where a file is called
    `<id>_<class>_<gender>.png`. Attributes: `class`, `gender`, and `aligned`, 1 where the two numbers agree. All test
    images are kept; the published score is that of those whose `aligned` is 0. Looked for in the data folders and their
    `bffhq`. Raises MissingData or InvalidFile.
    """
    folder = find_folder(
        "bFFHQ", ("bffhq",), ("0.5pct/align", "0.5pct/conflict", "test"), ADVICE.format(archive="bffhq")
    )
    return _table(BFFHQ, "gender", folder / "0.5pct", folder / "valid", folder / "test", size)


def corrupted_cifar10(name: str, size: int) -> ImageTable:
    """CIFAR-10 whose ten classes come with ten corruptions; `name` says how many training images have another one.

    Layout: `<percent>/align/<class>/*`, `<percent>/conflict/<class>/*`, `<percent>/valid/<class>/*` (may be missing)
    and `test/<class>/*`, where a file is called `<id>_<class>_<corruption>.png` and `<percent>` is 0.5pct, 1pct, 2pct
    or 5pct. Attributes: `class`, `corruption`, and `aligned`, 1 where the two numbers agree. Looked for in the data
    folders and their `cifar10c`. Raises MissingData or InvalidFile.
    """
    percent = name.removeprefix("corrupted_cifar10_")
    needed = (f"{percent}/align", f"{percent}/conflict", "test")
    folder = find_folder("Corrupted CIFAR-10", ("cifar10c",), needed, ADVICE.format(archive="cifar10c"))
    own = folder / percent
    return _table(CORRUPTED_CIFAR10[name], "corruption", own, own / "valid", folder / "test", size)


def colored_mnist(name: str, size: int) -> ImageTable:
    """MNIST whose ten digits come with ten colours; `name` says how many training images have another one.

    Layout as `corrupted_cifar10`, in `cmnist`, where a file is called `<id>_<digit>_<colour>.png` and validation images
    stand in `<percent>/valid` itself. The same rule, on images read as grey, is `data.bias` with `place: foreground`.
    Raises MissingData or InvalidFile.
    """
    percent = name.removeprefix("colored_mnist_")
    needed = (f"{percent}/align", f"{percent}/conflict", "test")
    folder = find_folder("Colored MNIST", ("cmnist",), needed, ADVICE.format(archive="cmnist"))
    own = folder / percent
    return _table(COLORED_MNIST[name], "colour", own, own / "valid", folder / "test", size)


def _table(info: DatasetInfo, cue: str, train: Path, valid: Path, test: Path, size: int) -> ImageTable:
    parts = [("train", path) for inner in ("align", "conflict") for path in _images(train / inner)]
    parts += [("validation", path) for path in (_images(valid) if valid.is_dir() else ())]
    parts += [("test", path) for path in _images(test)]
    numbers = torch.tensor([_numbers(path, info, cue) for _, path in parts], dtype=torch.int64).view(-1, 2)
    aligned = (numbers[:, 0] == numbers[:, 1]).to(torch.int64)
    for (_, path), agrees in zip(parts, aligned.tolist(), strict=True):
        inner = path.relative_to(train).parts[0] if path.is_relative_to(train) else ""
        if inner == ("conflict" if agrees else "align"):
            raise InvalidFile(f"is in {inner!r}, but its name says otherwise", file=str(path))
    return ImageTable(
        images=decoded_images(info.name, [path for _, path in parts], size),
        attributes={"class": numbers[:, 0], cue: numbers[:, 1], "aligned": aligned},
        sizes=dict(info.attributes),
        splits=split_rows(tuple(split for split, _ in parts)),
        mean=info.mean,
        std=info.std,
    )


def _images(folder: Path) -> Iterator[Path]:
    """The images of a folder, then those of the folders in it."""
    yield from image_files(folder)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from image_files(inner)


def _numbers(path: Path, info: DatasetInfo, cue: str) -> tuple[int, int]:
    """Class and cue of an image, the last two numbers of its name."""
    fields = path.stem.split("_")[-2:]
    limits = (info.attributes["class"], info.attributes[cue])
    if len(fields) < 2 or not all(
        text.isdecimal() and int(text) < top for text, top in zip(fields, limits, strict=True)
    ):
        raise InvalidFile(f"is not called <id>_<class>_<{cue}>, with numbers below {limits[0]}", file=str(path))
    return int(fields[0]), int(fields[1])
