"""Where the files of a published set are looked for, and what is said when they are not there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from raycon.errors import MissingData


class RayconWarning(UserWarning):
    """Something in the data that a reader of the results should know."""


def data_roots() -> list[Path]:
    """The folders below which sets stand: `RAYCON_DATA` where it is set, then `~/.cache/raycon`."""
    named = os.environ.get("RAYCON_DATA")
    return [*([Path(named).expanduser()] if named else []), Path.home() / ".cache" / "raycon"]


def cache_folder() -> Path:
    """Where decoded images are kept: `RAYCON_CACHE`, or `~/.cache/raycon/decoded`."""
    return Path(os.environ.get("RAYCON_CACHE") or Path.home() / ".cache" / "raycon" / "decoded").expanduser()


def find_folder(
    name: str, folders: Sequence[str], needed: Sequence[str], advice: str, *, root_too: bool = True
) -> Path:
    """The first folder that holds everything in `needed`: one of `folders` below a root, or (`root_too`) a root itself.

    needed: file or folder names, relative; alternatives are divided by `|`. A RayconWarning says it where `RAYCON_DATA`
    is set but another place is used. Raises MissingData, which says every place, what it lacks, and `advice`.
    """
    roots, tried = data_roots(), []
    for root in roots:
        for folder in [*([root] if root_too else []), *(root / inner for inner in folders)]:
            missing = [entry for entry in needed if not any((folder / one).exists() for one in entry.split("|"))]
            if not missing:
                if os.environ.get("RAYCON_DATA") and root != roots[0]:
                    message = f"no {name} in {roots[0]}, which RAYCON_DATA names; {folder} is used instead"
                    warnings.warn(message, RayconWarning, stacklevel=3)
                return folder
            if folder != root or len(missing) < len(needed):
                tried.append(f"{folder} lacks {', '.join(entry.replace('|', ' or ') for entry in missing)}")
    raise MissingData(f"{name} was not found: {'; '.join(tried)}. {advice}", field="data.dataset")


def image_files(folder: Path) -> Iterator[Path]:
    """The images of a folder in the order of their names; other files are passed over."""
    for path in sorted(folder.iterdir()):
        if (
            path.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
            and path.is_file()
        ):
            yield path
