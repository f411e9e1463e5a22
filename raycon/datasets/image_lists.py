"""Lists of images in text files: a path and the number of a class in each line, as published for ImageNet-LT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from raycon.errors import InvalidFile, MissingData


def read_image_list(path: Path) -> tuple[tuple[str, int], ...]:
    """(image, class) of every line, `<path> <number>` divided by white space; empty lines are passed over.

    The path is everything before the last word, so it may have spaces. Raises MissingData without the file, InvalidFile
    with the line for one that has no number of 0 or above, or whose image stands in another line too.
    """
    try:
        status = path.stat()
    except OSError:
        raise MissingData(f"there is no {path}", field="data.dataset") from None
    return _read(path, status.st_mtime_ns, status.st_size)


def check_one_folder_a_class(lists: Mapping[Path, tuple[tuple[str, int], ...]], classes: int) -> None:
    """Raise InvalidFile unless classes are 0 to `classes` - 1 and each goes with one folder name: a list of another
    set, or one that was shuffled, is met here and not in the accuracies."""
    folders: dict[int, str] = {}
    for path, lines in lists.items():
        for image, label in lines:
            if label >= classes:
                raise InvalidFile(f"{image!r} has class {label}, not one of 0 to {classes - 1}", file=str(path))
            own = str(Path(image).parent.name)
            if folders.setdefault(label, own) != own:
                reason = f"{image!r} has class {label}, which is that of the folder {folders[label]!r}"
                raise InvalidFile(reason, file=str(path))


def folder_names(lines: Iterable[tuple[str, int]], classes: int) -> tuple[str, ...]:
    """The folder of each class's images as its name, where each has one of its own; else the numbers."""
    folders: dict[int, set[str]] = {}
    for image, label in lines:
        folders.setdefault(label, set()).add(Path(image).parent.name)
    names = tuple(name for label in range(classes) for name in folders.get(label, ()))
    return names if len(names) == len(set(names)) == classes else tuple(str(label) for label in range(classes))


def class_words(path: Path) -> tuple[str, ...]:
    """The first word of every line, for example WordNet numbers; empty lines and those that begin with # are passed
    over. Raises MissingData without the file, InvalidFile for a name that stands there twice or is no folder's."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise MissingData(f"there is no {path}", field="data.folder.classes") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"cannot be read as text in UTF-8 ({error})", file=str(path)) from error
    found: dict[str, int] = {}
    for number, text in enumerate(lines, start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in found or Path(words[0]).name != words[0]:
            reason = f"stands in line {found[words[0]]} too" if words[0] in found else "is no name of a folder"
            raise InvalidFile(f"{words[0]!r} {reason}", file=str(path), line=number)
        found[words[0]] = number
    return tuple(found)


@lru_cache(maxsize=6)
def _read(path: Path, changed: int, length: int) -> tuple[tuple[str, int], ...]:
    """`changed` and `length` are parts of the key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"cannot be read as text in UTF-8 ({error})", file=str(path)) from error
    found: dict[str, int] = {}
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        words = text.strip().rsplit(maxsplit=1)
        if len(words) < 2 or not words[1].isdecimal():
            raise InvalidFile("is not a path and the number of a class", file=str(path), line=number)
        image, label = words
        if image in found:
            raise InvalidFile(f"{image!r} stands in an earlier line too", file=str(path), line=number)
        found[image] = int(label)
    if not found:
        raise InvalidFile("has no line", file=str(path))
    return tuple(found.items())
