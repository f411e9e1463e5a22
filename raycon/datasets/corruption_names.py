"""Names of corruptions, for checks that load no torch."""

from __future__ import annotations

UNTOUCHED = "none"
"""A cue that leaves images as they are."""

CUES = (
    *("snow", "frost", "fog", "brightness", "contrast", "impulse_noise", "elastic_transform", "jpeg_compression"),
    *("pixelate", "defocus_blur", "gaussian_noise", "shot_noise", "glass_blur", "motion_blur", "zoom_blur"),
)
"""All families of `raycon.datasets.corruptions`, in the order in which they are bound to labels 0, 1, ....

The first ten are those of Corrupted CIFAR-10, type 0 (Nam et al. 2020, arXiv 2007.02561, public code), with
`impulse_noise` for its spatter and `defocus_blur` for its saturation, which raycon has not.
"""
