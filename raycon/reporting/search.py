"""What a search says beyond its winner: which knobs mattered, what fewer runs would have found, how sure a front is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raycon.history import RunRecord, SweepHistory
from raycon.importance import LEAST_RUNS, importances
from raycon.metric_names import metric
from raycon.repeats import by_configuration
from raycon.reporting.figures import front_figure
from raycon.reporting.search_figures import budget_figure, importance_figure
from raycon.reporting.section import Section
from raycon.reporting.tables import Row, short_names, to_csv
from raycon.seeding import derive_seed
from raycon.statistics import attained, cluster_bootstrap, drawn_means, expected_best, noise_covariance, on_front
from raycon.statistics.aggregate import LEAST_RUNS as LEAST_BAND

ATTAINED = (0.5, 0.9)
GRID = 60


def search_sections(history: SweepHistory, repeated: Sequence[SweepHistory]) -> list[Section]:
    """The parts of a sweep's report that are about the search itself."""
    objectives = (*history.maximize, *history.minimize)
    if not history.complete(*objectives):
        return []
    parts = [front_section(history, repeated)] if len(objectives) > 1 else [budget_section(history)]
    return [*parts, importance_section(history)]


def importance_section(history: SweepHistory) -> Section:
    """Shares of the knobs in the variance of each objective, with bands; a line alone where there are too few runs."""
    title = "Importance of the knobs (exploratory)"
    objectives = (*history.maximize, *history.minimize)
    found = {name: importances(history, name) for name in objectives}
    if not any(found.values()):
        n = len(history.complete(*objectives))
        return Section(title, [f"Not said: {n} complete runs, and it takes {LEAST_RUNS} and two knobs that vary."])
    knobs = short_names(list(dict.fromkeys(one.knob for judged in found.values() for one in judged)))
    rows: list[Row] = [
        {"objective": name, "knob": knobs[one.knob], "median": one.median, "low": one.low, "high": one.high, "n": one.n}
        for name, judged in found.items()
        for one in judged
    ]
    resamples = next(one.resamples for judged in found.values() for one in judged)
    line = (
        f"Share of the variance of the score that a knob explains by itself: fANOVA (Optuna's), median and 5 % to 95 % "
        f"band over {resamples} bootstrap samples of the runs, each with a forest of its own seed. n: complete runs "
        "that have the knob; one under a condition is judged among those alone. One training seed: its noise is in it."
    )
    picture = importance_figure(history.name, found, knobs)
    return Section(title, [line], rows, {"importance.png": picture}, {"importance.csv": to_csv(rows).encode()})


def budget_section(history: SweepHistory) -> Section:
    """The best so far by runs, and the expected best of n random runs."""
    objective = (*history.maximize, *history.minimize)[0]
    block = random_block(history)
    rows = budget_rows(history, objective, block)
    lines = [
        f"A search of fewer runs is the beginning of a longer one: the best so far is the {objective.split('/', 1)[-1]}"
        " that it would have ended with, on the seed that chooses, so luck is in it."
    ]
    if len(block) > 1:
        lines.append(
            f"Expected best of n random runs: unbiased, from the {len(block)} runs of this search that were drawn at "
            "random (a learning search's later runs are not independent); diverged ones count as the worst seen, "
            f"stopped ones with their last score. Band: {_band_words(len(block))}."
        )
    else:
        lines.append("Expected best of n random runs: not said, as no two runs of this search were drawn at random.")
    picture = budget_figure(history, objective, rows, len(block))
    return Section("What fewer runs would have found", lines, (), {"budget.png": picture}, _csv("budget", rows))


def random_block(history: SweepHistory) -> list[RunRecord]:
    """The runs that were drawn independently of one another: all that were not given beforehand under `random`, those
    before the first learnt one under `tpe` and `nsga2`; none under `qmc`, whose points avoid one another. Without those
    that the infrastructure ended, or that are not finished."""
    sweep = history.canonical.get("sweep", {})
    sampler, given, startup = sweep.get("sampler"), len(sweep.get("first", ())), int(sweep.get("startup", 0))
    ends = {"random": len(history.runs), "tpe": startup, "nsga2": max(4, startup)}
    return [run for run in history.runs[given : ends.get(str(sampler), 0)] if run.finished and run.state != "failed"]


def budget_rows(history: SweepHistory, objective: str, block: Sequence[RunRecord]) -> list[Row]:
    """One row for each number of runs: best so far, its run, cost so far, and the expected best of as many random runs
    with its band."""
    sign = 1.0 if metric(objective).direction == "higher" else -1.0
    values = _block_values(block, objective, sign)
    rows: list[Row] = []
    best: RunRecord | None = None
    epochs, seconds = 0, 0.0
    for n, run in enumerate(history.runs, start=1):
        value = run.metrics.get(objective, math.nan)
        if run.state == "complete" and math.isfinite(value):
            best = run if best is None or sign * (value - best.metrics[objective]) > 0 else best
        epochs += run.last_epoch
        seconds += run.ended_at - run.started_at if run.ended_at and run.started_at else 0.0
        row: Row = {"runs": n, "epochs": epochs, "seconds": round(seconds, 2)}
        row |= {"best so far": None if best is None else best.metrics[objective]}
        row |= {"best run": None if best is None else best.number}
        rows.append(row | _expected(values, n, sign))
    return rows


def _block_values(block: Sequence[RunRecord], objective: str, sign: float) -> list[float]:
    """Scores, more being better. A run that ended badly has the worst of the others."""
    scores = [sign * run.metrics.get(objective, math.nan) for run in block]
    finite = [score for score in scores if math.isfinite(score)]
    return [score if math.isfinite(score) else min(finite) for score in scores] if finite else []


def _expected(values: Sequence[float], n: int, sign: float) -> Row:
    if len(values) < 2 or n > len(values):
        return {"expected best of random": None, "low": None, "high": None}
    row: Row = {"expected best of random": sign * expected_best(values, n), "low": None, "high": None}
    # The best of nearly as many as there are is that of every other resample: its band would say nothing.
    if len(values) >= LEAST_BAND and n <= len(values) // 2:
        draw = np.random.default_rng(derive_seed(0, "expected best", n))
        ends = cluster_bootstrap(
            [[value] for value in values], lambda t: expected_best(t[:, 0], n), generator=draw, resamples=400
        )
        row["low"], row["high"] = sorted(sign * end for end in ends)
    return row


def _band_words(count: int) -> str:
    if count < LEAST_BAND:
        return f"none, as a bootstrap takes {LEAST_BAND} runs"
    return "95 % percentile bootstrap of the runs, up to half as many as there are"


@dataclass(frozen=True)
class Surety:
    """How sure a front is. chances: run number -> probability that its true scores are on the front of the true scores.
    curves: share -> attained values of the second score along `across`."""

    chances: dict[int, float]
    across: NDArray[np.float64]
    curves: dict[float, NDArray[np.float64]]
    freedom: int
    configurations: int


def front_section(history: SweepHistory, repeated: Sequence[SweepHistory]) -> Section:
    """The Pareto front, and with repetitions the probability of every run to be on it."""
    objectives = (*history.maximize, *history.minimize)
    front = {run.number for run in history.pareto_front()}
    surety = front_surety(history, repeated)
    rows: list[Row] = []
    for run in history.complete(*objectives):
        row: Row = {"run": run.number, **{name: run.metrics[name] for name in objectives}}
        row["on the front"] = run.number in front
        if surety is not None:
            row["probability"] = surety.chances[run.number]
        rows.append(row)
    rows.sort(key=lambda row: (not row["on the front"], -row.get("probability", 0.0), row["run"]))
    lines = [f"Full-budget runs that none beats: runs {', '.join(map(str, sorted(front)))}.", _surety_words(surety)]
    picture = front_figure(history, surety)
    return Section("Pareto front", lines, rows, {"front.png": picture}, _csv("front", rows))


def front_surety(history: SweepHistory, repeated: Sequence[SweepHistory]) -> Surety | None:
    """From the noise between seeds in repetitions of this search; None where they say too little of it."""
    objectives = (*history.maximize, *history.minimize)
    signs = np.array([1.0 if metric(name).direction == "higher" else -1.0 for name in objectives])
    groups = [table for repetition in repeated for table in _tables(repetition, objectives)]
    try:
        covariance, freedom = noise_covariance([np.array(group) * signs for group in groups])
    except ValueError:
        return None
    runs = history.complete(*objectives)
    points = np.array([[run.metrics[name] for name in objectives] for run in runs]) * signs
    generator = np.random.default_rng(derive_seed(0, "front", history.identity))
    drawn = drawn_means(points, covariance, freedom, generator=generator)
    chances = dict(zip((run.number for run in runs), on_front(drawn).mean(axis=0).tolist(), strict=True))
    across = np.linspace(drawn[:, :, 0].min(), drawn[:, :, 0].max(), GRID)
    curves = {share: signs[1] * attained(drawn[:, :, :2], across, share) for share in ATTAINED}
    return Surety(chances, signs[0] * across, curves, freedom, len(groups))


def _tables(repetition: SweepHistory, objectives: Sequence[str]) -> list[list[list[float]]]:
    """For each configuration with two seeds or more: [seeds, objectives]."""
    tables = []
    for found in by_configuration(repetition).values():
        kept = [run for run in found.values() if run.state == "complete"]
        rows = [[run.metrics.get(name, math.nan) for name in objectives] for run in kept]
        whole = [row for row in rows if all(map(math.isfinite, row))]
        tables += [whole] if len(whole) > 1 else []
    return tables


def _surety_words(surety: Surety | None) -> str:
    if surety is None:
        return (
            "How sure the front is: not said. It takes the noise between seeds: `raycon repeat` of one of its runs, "
            "with 4 or more degrees of freedom (such as 5 seeds of one configuration)."
        )
    return (
        f"Probability: that a run's true scores are on the front of all true scores, if those of each run lie about "
        f"the observed ones as seeds do ({surety.configurations} repeated configuration(s), {surety.freedom} degrees "
        "of freedom, one covariance for all runs; runs are drawn independently). Luck that made a run look best is not "
        "taken off."
    )


def _csv(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    return {f"{name}.csv": to_csv(rows).encode()}
