"""Configurations with their runs on the same fresh seeds, what each of them cost, and their paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from raycon.ablation.verdicts import NOT_SHOWN, found_with, too_few_for, unshown
from raycon.history import RunRecord
from raycon.metric_names import metric
from raycon.statistics import (
    Interval,
    equivalence_p,
    holm,
    max_t_p,
    paired_interval,
    paired_t_p,
    probability_of_improvement,
    sign_flip_p,
)

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Budget:
    """What two sides must share for their difference to be one of methods. searched: runs of the search that chose the
    configuration, 0 where it was given by hand. images: per epoch. data: content hash of the set and a hash of its
    section of the configuration, without what a method may see of it. score: what is compared."""

    searched: int | str
    epochs: int
    images: int | str
    seeds: tuple[int, ...]
    data: str
    score: str


@dataclass(frozen=True)
class Side:
    """A configuration with its runs by seed. sees: what its method may see of the data beside labels. knobs: how many
    the search that chose it had."""

    name: str
    runs: Mapping[int, RunRecord]
    budget: Budget
    sees: tuple[str, ...]
    knobs: int
    versions: Mapping[str, str]
    identity: str
    openings: int

    def values(self, score: str) -> dict[int, float]:
        """The finite scores of complete runs, by seed; of a name that begins with test/, those of the opened set."""
        chosen = {seed: run for seed, run in self.runs.items() if run.state == "complete"}
        found = {
            seed: (run.test if score.startswith("test/") else run.metrics).get(score) for seed, run in chosen.items()
        }
        return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


@dataclass(frozen=True)
class Pair:
    """One side less another on one score over the seeds that both have; positive differences are gains of the first.

    adjusted_p: Holm over all pairs of all scores, of the t test, by which the verdict goes. joint_p: step-down max-T
    over the same, where seeds are the same. detectable: the true difference that this test finds with power 0.8.
    """

    first: str
    second: str
    score: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    interval: Interval | None
    p: float | None
    adjusted_p: float | None
    joint_p: float | None
    sign_flip_p: float | None
    improvement: float | None
    equivalence_p: float | None
    detectable: float | None
    verdict: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """All pairs. unequal: one line for each part of the budgets that differs, empty where they are equal."""

    sides: tuple[Side, ...]
    scores: tuple[str, ...]
    pairs: tuple[Pair, ...]
    unequal: tuple[str, ...]
    margin: float | None
    alpha: float


def unequal_parts(sides: Sequence[Side]) -> list[str]:
    """One line for each part of the budget in which the sides differ, or which is unknown."""
    words = {
        "searched": "runs searched",
        "epochs": "epochs a run",
        "images": "training images an epoch",
        "seeds": "repeat seeds",
        "data": "data (content/section)",
        "score": "score",
    }
    lines = []
    for part, what in words.items():
        values = {side.name: asdict(side.budget)[part] for side in sides}
        hidden = part in ("searched", "data") and any(UNKNOWN in str(value) for value in values.values())
        if hidden or len({repr(value) for value in values.values()}) > 1:
            told = {name: numbers(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}
            lines.append(f"{what}: {', '.join(f'{name} {value}' for name, value in told.items())}")
    return lines


def numbers(seeds: Sequence[int]) -> str:
    """Seeds in a row, as text."""
    return " ".join(map(str, seeds))


def compared_pairs(
    sides: Sequence[Side], scores: Sequence[str], margin: float | None = None, alpha: float = 0.05
) -> tuple[Pair, ...]:
    """Every pair of sides on every score, corrected together. Raises ValueError for a margin that is not above 0."""
    asked = [(score, one, other) for score in scores for one, other in combinations(sides, 2)]
    rows = [_paired(one, other, score) for score, one, other in asked]
    enough = [index for index, row in enumerate(rows) if len(row) > 1]
    values = {index: list(rows[index].values()) for index in enough}
    adjusted: dict[int, float] = {}
    joint: dict[int, float] = {}
    if enough:
        adjusted = dict(zip(enough, holm([paired_t_p(values[index]) for index in enough]).tolist(), strict=True))
    if len(enough) > 1 and len({tuple(rows[index]) for index in enough}) == 1:
        joint = dict(zip(enough, max_t_p(np.array([values[index] for index in enough]).T).tolist(), strict=True))
    found = []
    for index, (score, one, other) in enumerate(asked):
        row, few = list(rows[index].values()), index not in values
        within = None if few or margin is None else equivalence_p(row, margin)
        found.append(
            Pair(
                first=one.name,
                second=other.name,
                score=score,
                seeds=tuple(rows[index]),
                differences=tuple(row),
                interval=None if few else paired_interval(row, 1 - alpha),
                p=None if few else paired_t_p(row),
                adjusted_p=adjusted.get(index),
                joint_p=joint.get(index),
                sign_flip_p=None if few else sign_flip_p(row),
                improvement=None if few else probability_of_improvement(row),
                equivalence_p=within,
                detectable=None if few else found_with(row, alpha=alpha, contrasts=len(enough)),
                verdict=_verdict(row, adjusted.get(index), within, margin, alpha, len(enough)),
                lost=tuple(_lost(one, other, score)),
            )
        )
    return tuple(found)


def _paired(one: Side, other: Side, score: str) -> dict[int, float]:
    sign = 1.0 if metric(score).direction == "higher" else -1.0
    ours, theirs = one.values(score), other.values(score)
    return {seed: sign * (ours[seed] - theirs[seed]) for seed in sorted(ours) if seed in theirs}


def _lost(one: Side, other: Side, score: str) -> list[str]:
    """A text for each shared seed without a pair: those are not lost at random where a run diverged."""
    told = []
    for seed in sorted(set(one.runs) & set(other.runs)):
        missing = [side for side in (one, other) if seed not in side.values(score)]
        if missing:
            ends = ", ".join(f"{side.name} {side.runs[seed].state.replace('_', ' ')}" for side in missing)
            told.append(f"seed {seed}: {ends}")
    return told


def _verdict(
    row: Sequence[float], adjusted: float | None, within: float | None, margin: float | None, alpha: float, family: int
) -> str:
    """Equivalence first, as for a claim: a difference that is real and too small to matter is no gain."""
    if adjusted is None:
        return "too few pairs"
    if within is not None and within <= alpha:
        return "equivalent within the margin"
    mean = sum(row) / len(row)
    if adjusted <= alpha:
        return f"shown: the {'first' if mean > 0 else 'second'} is better"
    if margin is None:
        return unshown(len(row), family, alpha)
    least = found_with(row, alpha=alpha, contrasts=family)
    if least is not None and least > margin:
        return f"not shown: {too_few_for(margin, row, alpha=alpha, contrasts=family)}"
    return NOT_SHOWN
