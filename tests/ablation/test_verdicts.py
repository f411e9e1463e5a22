"""What is said of tests and seeds is what the tests do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raycon.ablation.contrasts import SHOWN, answer
from raycon.ablation.verdicts import NOT_SHOWN, floor_line, found_with, unshown
from raycon.statistics import holm, paired_t_power, sign_flip_p
from tests.ablation.test_contrasts import _scores, _study


@pytest.mark.parametrize("seeds", [2, 3, 5, 6, 7, 8, 9, 12])
@pytest.mark.parametrize("family", [1, 2, 7])
def test_the_floor_is_that_of_the_sign_flip_test(seeds: int, family: int) -> None:
    """The clearest differences that there are: all alike. One contrast of the family has them, the others nothing."""
    clearest = sign_flip_p([1.0] * seeds)
    rejected = holm([clearest, *[1.0] * (family - 1)])[0] <= 0.05
    line, verdict = floor_line(seeds, family, 0.05), unshown(seeds, family, 0.05)
    assert f"smallest p {clearest:.4f} with {seeds} seeds" in line
    assert ("cannot reject" in line) == (not rejected) == ("too few for the sign-flip test" in verdict)
    assert verdict.startswith(NOT_SHOWN)


def test_the_t_test_decides_with_any_number_of_seeds() -> None:
    """Three seeds, with which the sign-flip test can never reject: what is clear is shown, and what is not is not."""
    design, arms = _study("leave_one_out")
    answers = answer(design, arms, _scores(arms, np.random.default_rng(0), seeds=3, noise=1e-4))
    told: dict[str, Any] = {one.question.label: one for one in answers}
    assert told["full - without spread"].verdict == SHOWN and told["full - without spread"].sign_flip_p == 0.25
    assert told["full - without views"].verdict == "not shown; 3 seeds are too few for the sign-flip test"


def test_the_detectable_effect_is_found_with_power_four_in_five() -> None:
    row = np.random.default_rng(1).normal(size=9).tolist()
    least = found_with(row, alpha=0.05, contrasts=3)
    assert least is not None
    assert paired_t_power(least, float(np.std(row, ddof=1)), 9, 0.05 / 3) == pytest.approx(0.8, abs=1e-6)
    assert found_with([0.5, 0.5, 0.5], alpha=0.05, contrasts=1) is None
