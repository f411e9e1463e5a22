"""The words in which studies and comparisons say what their tests showed, and what these seeds could have shown.

Student's paired t test under Holm decides; the exact sign-flip test stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from raycon.statistics import detectable_effect, required_seeds, sign_flip_floor, sign_flip_seeds

NOT_SHOWN = "not shown"


def unshown(seeds: int, family: int, alpha: float) -> str:
    """The verdict on a contrast of a family that the t test, which decides, does not show. No number of seeds is too
    few for that test by itself; where it is for the exact sign-flip test, whose least p depends on it, that is said."""
    few = f"; {seeds} seeds are too few for the sign-flip test" if seeds < sign_flip_seeds(family, alpha) else ""
    return NOT_SHOWN + few


def floor_line(seeds: int, family: int, alpha: float) -> str:
    """Which test decides, and whether the exact one beside it could agree, in plain text."""
    floor, needed = sign_flip_floor(seeds), sign_flip_seeds(family, alpha)
    could = "can reject" if seeds >= needed else f"cannot reject (it takes {needed} seeds)"
    return (
        "decided by: paired t tests under Holm, whose p has no smallest value; the exact sign-flip test beside them "
        f"has smallest p {floor:.4f} with {seeds} seeds, and under Holm over {family} {could}"
    )


def found_with(row: Sequence[float], *, alpha: float, contrasts: int) -> float | None:
    """The true effect that the t test finds with power 0.8 in differences that spread as these; None without spread."""
    sd = float(np.std(row, ddof=1))
    return sd * _found_in_units(len(row), alpha, contrasts) if sd > 0 else None


@lru_cache
def _found_in_units(seeds: int, alpha: float, contrasts: int) -> float:
    """`found_with` in standard deviations of the differences."""
    return detectable_effect(1.0, seeds, alpha=alpha, contrasts=contrasts)


def too_few_for(margin: float, row: Sequence[float], *, alpha: float, contrasts: int) -> str:
    """That these seeds find an effect of the margin with less than power 0.8, and how many it takes."""
    needed = seeds_for(margin, float(np.std(row, ddof=1)), alpha=alpha, contrasts=contrasts)
    return f"{len(row)} seeds are too few for the margin ({needed} for power 0.8)"


def seeds_for(effect: float, sd: float, *, alpha: float, contrasts: int) -> str:
    """How many seeds find an effect with power 0.8, in words: a number, or that there are too many."""
    try:
        return f"about {required_seeds(effect, sd, alpha=alpha, contrasts=contrasts)}"
    except ValueError:
        return "too many"
