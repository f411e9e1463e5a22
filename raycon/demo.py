"""The space of `raycon demo`."""

from __future__ import annotations

from pathlib import Path

from raycon.errors import RayconError
from raycon.space import Space, load

FILE = "digits_demo.yaml"


def demo_space() -> Space:
    """The shipped demonstration: in an installed package beside this file, in a checkout beside the package."""
    here = Path(__file__).parent
    for folder in (here / "search_spaces", here.parent / "search_spaces"):
        if (folder / FILE).is_file():
            return load(folder / FILE)
    raise RayconError(f"{FILE} is missing from this installation")
