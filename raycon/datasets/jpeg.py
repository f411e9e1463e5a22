"""What JPEG's quantisation leaves of a batch of images, without writing files."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

BRIGHTNESS_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1."""
COLOUR_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""ITU-T T.81, table K.2."""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def jpeg_coarsened(images: Tensor, quality: float) -> Tensor:
    """float [n, 1 or 3, H, W] in [0, 1], after the cosine transform of 8x8 blocks, rounding to the steps of `quality`
    (1 to 100, libjpeg's scale), and back. Colour is not subsampled; entropy coding loses nothing and is left out."""
    h, w = images.shape[2:]
    planes = images * 255
    colour = images.shape[1] == 3
    if colour:
        planes = torch.einsum("rc,nchw->nrhw", torch.tensor(TO_YCC), planes).round()
    centred = planes - torch.tensor([128.0, 0, 0][: images.shape[1]])[:, None, None]
    centred = functional.pad(centred, (0, -w % 8, 0, -h % 8), mode="replicate")
    tables = torch.tensor((BRIGHTNESS_STEPS, COLOUR_STEPS, COLOUR_STEPS)[: images.shape[1]])
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = ((tables * scale + 50) / 100).floor().clamp(1, 255)
    basis = _cosines()
    blocks = centred.unfold(2, 8, 8).unfold(3, 8, 8)
    rounded = (basis @ blocks @ basis.T / steps[:, None, None]).round() * steps[:, None, None]
    back = (basis.T @ rounded @ basis).transpose(3, 4).reshape(centred.shape)[..., :h, :w]
    back = back + torch.tensor([128.0, 0, 0][: images.shape[1]])[:, None, None]
    if colour:
        back = torch.einsum("rc,nchw->nrhw", torch.linalg.inv(torch.tensor(TO_YCC)), back.round())
    return back.clamp(0, 255) / 255


def _cosines() -> Tensor:
    """The orthonormal cosine transform [8, 8]: row k holds frequency k."""
    place, frequency = torch.arange(8.0), torch.arange(8.0)[:, None]
    basis = torch.cos(math.pi * (place + 0.5) * frequency / 8) / 2
    basis[0] /= math.sqrt(2)
    return basis
