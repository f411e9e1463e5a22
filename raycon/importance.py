"""Which knobs of a search mattered, with bands: fANOVA over bootstrap resamples of its runs. Loads Optuna.

Exploratory: runs of a search that learns crowd where it looked, and a share of variance says nothing of its sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raycon.history import RunRecord, SweepHistory
from raycon.seeding import derive_seed

LEAST_RUNS = 10
"""Fewer runs say nothing: a forest of them finds one knob important by chance."""
RESAMPLES = 20
TREES = 8


@dataclass(frozen=True)
class Importance:
    """The share of a knob in the variance of the score over the space, all of its interactions left out: the median and
    the 5 % to 95 % band over `resamples` bootstrap samples of the `n` complete runs that have the knob."""

    knob: str
    median: float
    low: float
    high: float
    n: int
    resamples: int


def importances(history: SweepHistory, objective: str) -> list[Importance]:
    """The knobs that vary, most important first, from the complete runs of a search.

    fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) as Optuna computes it: a random forest of the score, and the share
    of its variance that each knob explains by itself. Each bootstrap sample has a forest with a seed of its own, so the
    band is over runs and forests. Knobs that all runs have are judged together; one under a condition on the runs that
    have it, beside those. Empty with fewer than `LEAST_RUNS` runs, or where fewer than two knobs vary.
    """
    runs = history.complete(objective)
    shared = _varied([name for name in _names(runs) if all(name in run.values for run in runs)], runs)
    found = _judged(runs, shared, shared, objective, history) if len(shared) > 1 else []
    for name in _names(runs):
        having = [run for run in runs if name in run.values]
        if len(having) < len(runs) and _varied([name], having):
            beside = _varied(shared, having)
            found += _judged(having, [*beside, name], [name], objective, history) if beside else []
    return sorted(found, key=lambda one: (-one.median, one.knob))


def _names(runs: Sequence[RunRecord]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.values))


def _varied(names: Sequence[str], runs: Sequence[RunRecord]) -> list[str]:
    return [name for name in names if len({repr(run.values[name]) for run in runs}) > 1]


def _judged(
    runs: Sequence[RunRecord], knobs: Sequence[str], wanted: Sequence[str], objective: str, history: SweepHistory
) -> list[Importance]:
    """The importances of `wanted` in a model of all `knobs`, from runs that have them all."""
    if len(runs) < LEAST_RUNS:
        return []
    seed = derive_seed(0, "importance", history.identity, objective, *wanted)
    draw = np.random.default_rng(seed)
    logarithmic = history.logarithmic_paths()
    columns = {name: _column([run.values[name] for run in runs], logarithmic=name in logarithmic) for name in knobs}
    scores = [run.metrics[objective] for run in runs]
    shares = []
    for number in range(RESAMPLES):
        chosen = draw.integers(0, len(runs), size=len(runs)).tolist()
        shares.append(_fanova(columns, scores, chosen, (seed + number) % 2**31))
    found = []
    for name in wanted:
        low, median, high = np.quantile([share.get(name, 0.0) for share in shares], [0.05, 0.5, 0.95]).tolist()
        found.append(Importance(name, median, low, high, len(runs), RESAMPLES))
    return found


def _column(values: Sequence[Any], *, logarithmic: bool) -> tuple[Any, list[Any]]:
    """The distribution of a knob over its observed range, and its values in it; options by their number."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values):
        numbers = [float(value) for value in values]
        return FloatDistribution(min(numbers), max(numbers), log=logarithmic and min(numbers) > 0), numbers
    options = sorted({repr(value) for value in values})
    return CategoricalDistribution(range(len(options))), [options.index(repr(value)) for value in values]


def _fanova(
    columns: Mapping[str, tuple[Any, list[Any]]], scores: Sequence[float], chosen: Sequence[int], seed: int
) -> dict[str, float]:
    """The shares in one sample; empty where its scores are all the same."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    # A knob that is constant in the sample explains nothing, and Optuna would leave it out.
    drawn = {n: (spread, [values[i] for i in chosen]) for n, (spread, values) in columns.items()}
    varied = {n: column for n, column in drawn.items() if len(set(column[1])) > 1}
    if len({scores[i] for i in chosen}) < 2 or len(varied) < 2:
        return dict.fromkeys(varied, 1.0) if len(varied) == 1 else {}
    distributions = {name: spread for name, (spread, _) in varied.items()}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize")
        for place, run in enumerate(chosen):
            params = {name: values[place] for name, (_, values) in varied.items()}
            trial = optuna.trial.create_trial(params=params, distributions=distributions, value=scores[run])
            study.add_trial(trial)
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
        return {n: float(v) for n, v in get_param_importances(study, evaluator=evaluator).items()}
    finally:
        optuna.logging.set_verbosity(level)
