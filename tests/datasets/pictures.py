"""Small image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, *, width: int = 8, height: int = 8) -> np.ndarray:
    """uint8 [height, width, 3], another one for each number: smooth, so that JPEG hardly changes it."""
    random = np.random.default_rng(number)
    corners = random.integers(30, 226, (2, 2, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def write_picture(path: Path, number: int, *, width: int = 8, height: int = 8) -> None:
    """The picture in the format that the name of the file asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number, width=width, height=height)).save(path, quality=95)
