"""PNG bytes as pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels(png: bytes) -> NDArray[np.uint8]:
    """[height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def is_drawn(png: bytes) -> bool:
    """Whether something is to be seen: a sheet of at least 400 x 250, with 20 colours and 2 % that is not white."""
    found = pixels(png)
    colours = np.unique(found.astype(np.int64) @ [65536, 256, 1])
    return min(found.shape[0] / 250, found.shape[1] / 400) >= 1 and len(colours) > 20 and (found < 250).mean() > 0.02


def has_colour(png: bytes, colour: str) -> bool:
    """Whether a pixel is nearly of the hexadecimal `colour`."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return bool((np.abs(pixels(png).astype(int) - wanted).max(axis=2) < 12).any())
