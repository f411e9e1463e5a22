"""Subsets of ImageNet by WordNet number, and sets that list its images or those of Places."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from raycon.datasets.class_names import IMAGENET9_CLASSES
from raycon.datasets.decoded import decoded_images
from raycon.datasets.folder import split_rows
from raycon.datasets.image_lists import check_one_folder_a_class, read_image_list
from raycon.datasets.info import DatasetInfo
from raycon.datasets.places import RayconWarning, data_roots, find_folder, image_files
from raycon.datasets.published import IMAGENET9, IMAGENET9_A, IMAGENET100, IMAGENET_LT, PLACES_LT
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile, MissingData

FOLDERS = ("imagenet", "ILSVRC2012", "ImageNet")
ADVICE = (
    "Unpack ILSVRC2012_img_train and ILSVRC2012_img_val from https://www.image-net.org there, one folder a WordNet "
    "number: train/n01440764/*.JPEG, val/n01440764/*.JPEG."
)
ADVERSARIAL_ADVICE = "Unpack https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar there."
LIST_ADVICE = (
    "Put {lists} (OpenLongTailRecognition-OLTR; also in data/{name} of "
    "https://github.com/facebookresearch/classifier-balancing) there."
)
TEXTURES = "9class_imagenet_val.csv"
TEXTURE_COUNT = 9
"""Clusters of each of the three clusterings; an attribute has one value more for images of which nothing is known."""


def imagenet100(size: int) -> ImageTable:
    """The 100 classes of ImageNet-100 (the list of Tian et al., contrastive multiview coding), official validation
    images to test on: uint8 [n, 3, size, size]. Classes are numbered by ascending WordNet number.

    Layout: `train/<WordNet number>/*` and `val/<WordNet number>/*`; other classes are passed over. Looked for in the
    data folders and their `imagenet`, `ILSVRC2012`, `ImageNet`. Raises MissingData or InvalidFile.
    """
    folder = _imagenet()
    classes = {number: label for label, number in enumerate(IMAGENET100.classes)}
    parts = [_of_classes(folder / name, classes) for name in ("train", "val")]
    return _table(IMAGENET100, size, *parts)


def imagenet9(size: int) -> ImageTable:
    """9-class ImageNet (Bahng et al. 2020, arXiv 1910.02806, public code): 42 classes of ImageNet in nine kinds of
    animals, official validation images to test on.

    Attributes: `class` (of 9), `wordnet` (of 42, by ascending WordNet number), and `texture1` to `texture3`, the three
    clusterings of the test images by texture that its unbiased score is over; 9 stands for 'not known', as of all
    training images. They are read from `9class_imagenet_val.csv`, in `clusters` of https://github.com/clovaai/rebias,
    looked for beside `train` and in the data folders; a RayconWarning says where it is missing. Layout as
    `imagenet100`. Raises MissingData or InvalidFile.
    """
    folder = _imagenet()
    return _nine(IMAGENET9, size, folder, _of_classes(folder / "val", IMAGENET9_CLASSES))


def imagenet9_a(size: int) -> ImageTable:
    """The training images of `imagenet9`, tested on the images of ImageNet-A (Hendrycks et al. 2019, arXiv 1907.07174)
    in its 42 classes. Attributes: `class` and `wordnet`.

    Layout: that of `imagenet9`, and `imagenet-a/<WordNet number>/*` in a data folder or beside `train`; classes without
    images there are passed over. Raises MissingData or InvalidFile.
    """
    folder = _imagenet("train")
    places = [place / "imagenet-a" for place in (folder, *data_roots())]
    other = next((place for place in places if place.is_dir()), None)
    if other is None:
        tried = ", ".join(map(str, places))
        raise MissingData(f"ImageNet-A was not found: there is no {tried}. {ADVERSARIAL_ADVICE}", field="data.dataset")
    return _nine(IMAGENET9_A, size, folder, _of_classes(other, IMAGENET9_CLASSES, all_there=False))


def imagenet_lt(size: int) -> ImageTable:
    """ImageNet-LT (Liu et al. 2019): its lists of ImageNet's images, uint8 [185846, 3, size, size], training first.

    Layout: `ImageNet_LT_train.txt`, `..._val.txt` and `..._test.txt` beside ImageNet's `train` and `val`, or in a data
    folder's `ImageNet_LT`; a line is a path and a class, numbered by ascending WordNet number. Its validation images
    are official training images of ImageNet, its test images the official validation images. Raises MissingData or
    InvalidFile.
    """
    return _listed(IMAGENET_LT, "ImageNet_LT", _imagenet(), size)


def places_lt(size: int) -> ImageTable:
    """Places-LT (Liu et al. 2019): its lists of the images of Places365, training images first.

    Layout: `Places_LT_train.txt`, `..._val.txt` and `..._test.txt` beside the `train` and `val` of Places365 (256 x 256
    pixels, one folder a class), or in a data folder's `Places_LT`. Looked for in the data folders'
    `places365`, `Places365`, `places`. Raises MissingData or InvalidFile.
    """
    advice = "Unpack Places365 (http://places2.csail.mit.edu/download.html) there: train/<class>/*.jpg."
    folder = find_folder("Places365", ("places365", "Places365", "places"), ("train",), advice, root_too=False)
    return _listed(PLACES_LT, "Places_LT", folder, size)


def _imagenet(*needed: str) -> Path:
    return find_folder("ImageNet", FOLDERS, needed or ("train", "val"), ADVICE)


def _of_classes(folder: Path, classes: Mapping[str, int], *, all_there: bool = True) -> list[tuple[Path, str, int]]:
    """(image, WordNet number, class) of every image of `classes`, by ascending WordNet number."""
    found = []
    for number, label in sorted(classes.items()):
        own = folder / number
        if own.is_dir():
            found += [(path, number, label) for path in image_files(own)]
        elif all_there:
            raise MissingData(f"there is no {own}. {ADVICE}", field="data.dataset")
    if not found:
        some = ", ".join(sorted(classes)[:3])
        raise MissingData(f"there are no images of the classes {some}, ... in {folder}", field="data.dataset")
    return found


Images = Sequence[tuple[Path, str, int]]


def _table(info: DatasetInfo, size: int, train: Images, test: Images) -> ImageTable:
    images = [*train, *test]
    return ImageTable(
        images=decoded_images(info.name, [path for path, _, _ in images], size),
        attributes={"class": torch.tensor([label for _, _, label in images], dtype=torch.int64)},
        sizes=dict(info.attributes),
        splits={"train": torch.arange(len(train)), "test": torch.arange(len(train), len(images))},
        mean=info.mean,
        std=info.std,
    )


def _nine(info: DatasetInfo, size: int, folder: Path, test: Images) -> ImageTable:
    train = _of_classes(folder / "train", IMAGENET9_CLASSES)
    table = _table(info, size, train, test)
    numbers = {number: place for place, number in enumerate(sorted(IMAGENET9_CLASSES))}
    attributes = dict(table.attributes)
    attributes["wordnet"] = torch.tensor([numbers[number] for _, number, _ in (*train, *test)], dtype=torch.int64)
    if "texture1" in info.attributes:
        textures = _textures(folder)
        unknown = (TEXTURE_COUNT,) * 3
        known = [textures.get(f"{number}/{path.name}", unknown) for path, number, _ in test]
        rows = [unknown] * len(train) + known
        columns = torch.tensor(rows, dtype=torch.int64).view(-1, 3)
        attributes |= {f"texture{number + 1}": columns[:, number].clone() for number in range(3)}
    return ImageTable(table.images, attributes, table.sizes, table.splits, table.mean, table.std)


def _textures(folder: Path) -> dict[str, tuple[int, ...]]:
    """`<WordNet number>/<file>` -> the three clusters of a test image."""
    path = next((place / TEXTURES for place in (folder, *data_roots()) if (place / TEXTURES).exists()), None)
    if path is None:
        where = f"{folder / TEXTURES}, from clusters/ of https://github.com/clovaai/rebias"
        warnings.warn(f"texture1 to texture3 of imagenet9 are not known without {where}", RayconWarning, stacklevel=4)
        return {}
    found = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                clusters = [row.get(f"cluster{number}") or "" for number in (1, 2, 3)]
                if not row.get("path") or not all(c.isdecimal() and int(c) < TEXTURE_COUNT for c in clusters):
                    reason = f"needs path and cluster1 to cluster3, numbers below {TEXTURE_COUNT}"
                    raise InvalidFile(reason, file=str(path), line=line)
                found[row["path"]] = tuple(int(cluster) for cluster in clusters)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"cannot be read as CSV ({error})", file=str(path)) from error
    return found


def _listed(info: DatasetInfo, name: str, root: Path, size: int) -> ImageTable:
    """The images that three lists name, below `root`."""
    files = [f"{name}_{part}.txt" for part in ("train", "val", "test")]
    if all((root / file).exists() for file in files):
        place = root
    else:
        advice = LIST_ADVICE.format(lists=", ".join(files), name=name)
        place = find_folder(info.name, (name, root.name), files, advice)
    lists = {place / file: read_image_list(place / file) for file in files}
    check_one_folder_a_class(lists, len(info.classes))
    rows = [line for own in lists.values() for line in own]
    parts = [part for part, own in zip(("train", "validation", "test"), lists.values(), strict=True) for _ in own]
    return ImageTable(
        images=decoded_images(info.name, [root / image for image, _ in rows], size),
        attributes={"class": torch.tensor([label for _, label in rows], dtype=torch.int64)},
        sizes=dict(info.attributes),
        splits=split_rows(tuple(parts)),
        mean=info.mean,
        std=info.std,
    )
