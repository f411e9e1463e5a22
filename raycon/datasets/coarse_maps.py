"""Fine-to-coarse maps of published benchmarks, as plain numbers: entry k is the coarse class of class k."""

from __future__ import annotations

CIFAR10_ANIMALS_VEHICLES = (1, 1, 0, 0, 0, 0, 0, 0, 1, 1)
"""Animals (0) v. vehicles (1)."""

MNIST_LOW_HIGH = (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
"""0 to 4 v. 5 to 9."""

# fmt: off
CIFAR100_SUPERCLASSES = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1,
    10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12,
    12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0,
    17, 8, 14, 13,
)
"""The twenty superclasses of Krizhevsky 2009, in the alphabetical order of the published files."""

TINY_IMAGENET_GROUPS = (
    14, 31, 16, 16, 8, 34, 35, 0, 0, 0, 4, 3, 22, 14, 7, 23, 23, 23, 9, 9, 3, 3, 3, 21, 11, 11, 11, 11, 11, 11, 6,
    6, 6, 39, 39, 2, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 12, 30, 19, 37, 37, 37, 37, 37, 28, 28, 28, 37, 2, 61, 46, 53,
    46, 41, 53, 45, 45, 47, 43, 53, 65, 45, 56, 52, 46, 62, 58, 41, 49, 62, 62, 64, 45, 62, 66, 46, 61, 50, 62, 47,
    49, 45, 50, 45, 65, 65, 58, 53, 53, 55, 62, 58, 58, 64, 48, 46, 41, 65, 44, 61, 50, 65, 46, 49, 65, 44, 65, 62,
    58, 46, 46, 65, 62, 41, 45, 55, 55, 50, 50, 51, 47, 62, 60, 65, 46, 52, 62, 66, 60, 61, 53, 50, 53, 43, 46, 65,
    60, 61, 60, 46, 54, 50, 58, 65, 58, 50, 46, 58, 46, 62, 48, 63, 45, 62, 65, 58, 65, 61, 41, 46, 58, 43, 47, 58,
    48, 48, 59, 48, 52, 52, 52, 52, 52, 38, 38, 18, 17, 17, 17, 17, 52, 52, 52, 52, 58, 58, 7, 58, 58, 27,
)
"""The groups of the coarse-to-fine experiments of Perfectly Balanced (Chen et al. 2022, public code), for the 200
WordNet numbers in ascending order. Of the ids 0 to 66 only 52 occur; `without_gaps` numbers them anew."""

# fmt: on
CIFAR100_UNBALANCED_SHARES = (1.0, 0.5, 0.2, 0.1, 0.1)
"""What the five subclasses of each superclass keep of their training images in CIFAR-100-U: 500, 250, 100, 50, 50."""


def without_gaps(of: tuple[int, ...]) -> tuple[int, ...]:
    """The same classes of classes, numbered 0, 1, ... in the order of their old numbers."""
    numbers = {old: new for new, old in enumerate(sorted(set(of)))}
    return tuple(numbers[old] for old in of)


def subclasses(of: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The classes of every coarse class, in ascending order."""
    return tuple(tuple(fine for fine, own in enumerate(of) if own == number) for number in range(max(of) + 1))
