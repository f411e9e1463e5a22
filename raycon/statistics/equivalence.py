"""Is a difference shown, shown to be too small to matter, or neither?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from raycon.statistics.checks import Numbers, check_rate, paired_differences

Verdict = Literal["shown", "equivalent", "unresolved"]
Sign = Literal["positive", "negative"]


def paired_t_p(differences: Numbers) -> float:
    """Two-sided p value of Student's paired t test of a mean of zero.

    Source: Student, Biometrika 6 (1908). Differences that are all equal give 0, or 1 where they are all zero. Raises
    ValueError for n < 2 or values that are not finite.
    """
    values = paired_differences(differences)
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * special.stdtr(values.size - 1, -abs(mean) / error))


def equivalence_p(differences: Numbers, margin: float) -> float:
    """p value of two one-sided t tests: the larger p of `mean <= -margin` and `mean >= margin`. At most alpha says that
    the mean lies within the margin, in either direction.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987). The same as the (1 - 2 alpha) t interval lying inside
    the margin. Without any spread: 0 inside the margin, else 1. Raises ValueError for n < 2, values that are not
    finite, or a margin that is not above 0.
    """
    values = paired_differences(differences)
    if not margin > 0:
        raise ValueError(f"the margin must be above 0, got {margin}")
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(special.stdtr(values.size - 1, -(margin - abs(mean)) / error))


@dataclass(frozen=True)
class Judgement:
    """What fresh seeds say of a claim. p is that of a difference, adjusted if it was given so; equivalence_p that of
    lying within the margin. against: the difference is significant, and of the other sign than claimed."""

    verdict: Verdict
    p: float
    equivalence_p: float
    against: bool


def judge(
    differences: Numbers, *, sign: Sign, margin: float, alpha: float = 0.05, adjusted_p: float | None = None
) -> Judgement:
    """The verdict on a claim that was stated beforehand: its sign, and `margin`, the smallest effect of interest.

    `equivalent`: both one-sided tests against the margin reject at alpha; this goes first, since a difference that is
    both real and too small to matter does not carry a claim. `shown`: the two-sided p is at most alpha and the mean has
    the claimed sign. `unresolved`: neither. `adjusted_p` replaces the t test's p where a study tests several contrasts
    (`holm`, `max_t_p`). Under no effect at all `shown` comes in at most alpha / 2 of studies. Raises ValueError as
    `equivalence_p`, or for alpha outside (0, 1).
    """
    check_rate(alpha)
    values = paired_differences(differences)
    p = paired_t_p(values) if adjusted_p is None else adjusted_p
    within = equivalence_p(values, margin)
    agrees = float(values.mean()) * (1 if sign == "positive" else -1) > 0
    if within <= alpha:
        verdict: Verdict = "equivalent"
    else:
        verdict = "shown" if p <= alpha and agrees else "unresolved"
    return Judgement(verdict, p, within, against=p <= alpha and not agrees)
