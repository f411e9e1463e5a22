"""Judges a table of runs from anywhere: paired intervals, Holm, power, and warnings about what a reviewer would ask.

A row is a run: a method, a seed, scores, and whatever else the export holds (W&B's and MLflow's CSV files are read as
they are). Neither Ray nor torch is needed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np

from raycon.column_directions import usual_direction
from raycon.errors import InvalidFile, MissingData, nearest
from raycon.statistics import (
    Interval,
    detectable_effect,
    holm,
    paired_interval,
    paired_t_p,
    sign_flip_floor,
    sign_flip_p,
)

METHODS = ("method", "model", "algorithm", "arm", "configuration", "objective", "name")
SEEDS = ("seed", "random_seed", "seed_id", "run_seed")
TIMES = ("runtime", "_runtime", "duration", "seconds")
BUDGETS = ("epochs", "epoch", "steps", "iterations", "trials", "batch_size", *TIMES)
NOT_SCORES = (*METHODS, *SEEDS, *BUDGETS, "_step", "_timestamp", "start_time", "end_time", "run_id", "id", "created")
PREFIXES = ("params.", "metrics.", "config.", "summary.", "tags.")
UNEQUAL_TIME, UNEQUAL_COUNT = 1.25, 1.001

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Runs:
    """A table: its columns, and one mapping of column -> text a run. method, seed, scores name columns. named: whether
    the scores were asked for, not found."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    method: str
    seed: str
    scores: tuple[str, ...]
    named: bool = False


@dataclass(frozen=True)
class Comparison:
    """A method less the baseline on one score, turned so that more than 0 is a gain. better: the score's direction.
    None in place of an interval and p values with fewer than 2 pairs."""

    score: str
    better: Better
    method: str
    baseline: str
    seeds: tuple[str, ...]
    interval: Interval | None
    p: float | None
    adjusted_p: float | None
    sign_flip_p: float | None
    detectable: float | None

    @property
    def verdict(self) -> str:
        """In a word, at 5 % after Holm's correction over the methods of this score."""
        if self.interval is None or self.adjusted_p is None:
            return "too few pairs"
        if self.adjusted_p > 0.05:
            return "not shown"
        return "better" if self.interval.mean > 0 else "worse"


@dataclass(frozen=True)
class JudgedRuns:
    """All comparisons, and the warnings."""

    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]

    @property
    def caption(self) -> str:
        """What a table of the comparisons has to say beneath it."""
        less = list(dict.fromkeys(one.score for one in self.comparisons if one.better == "lower"))
        turned = f" (of {', '.join(less)} less is better)" if less else ""
        return (
            f"95 % paired t intervals, positive: a gain{turned}. Verdicts: paired t test, Holm over the methods of a "
            "score. Detectable: the true difference that 80 % of such studies find."
        )


def read_runs(path: Path, *, method: str | None = None, seed: str | None = None, scores: Sequence[str] = ()) -> Runs:
    """The runs in a CSV file with a header. Columns that are not named are found by their usual names, with or without
    the prefixes of MLflow's and W&B's exports; scores are then all further columns of numbers that vary.

    Raises MissingData for a file that is not there, InvalidFile for one that is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="", strict=True)
            rows = [row for row in reader if any(value and value.strip() for key, value in row.items() if key)]
            columns = tuple(reader.fieldnames or ())
    except FileNotFoundError:
        raise MissingData(f"no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"is no CSV file: {error}", file=str(path)) from None
    if not rows or len(set(columns)) < len(columns) or any(None in row.values() or "" in row for row in rows):
        raise InvalidFile("is no table: it needs a header of distinct names, and rows of as many cells", file=str(path))
    found_method = _column(columns, method, METHODS, "method", path)
    found_seed = _column(columns, seed, SEEDS, "seed", path)
    for name in scores:
        _column(columns, name, (), "score", path)
    found = tuple(scores) or _score_columns(columns, rows, found_method, found_seed)
    if not found:
        raise InvalidFile("has no column of scores; name one with --score", file=str(path))
    return Runs(columns, tuple(rows), found_method, found_seed, found, bool(scores))


def _column(columns: Sequence[str], given: str | None, usual: Sequence[str], what: str, path: Path) -> str:
    if given is not None:
        if given not in columns:
            raise InvalidFile(
                f"has no column {given!r}{nearest(given, list(columns))}", file=str(path), field=f"--{what}"
            )
        return given
    for name in usual:
        for column in columns:
            if _bare(column) == name:
                return column
    reason = (
        f"no column looks like the {what} ({', '.join(usual)}); name it with --{what}. There are: {', '.join(columns)}"
    )
    raise InvalidFile(reason, file=str(path))


def _bare(column: str) -> str:
    lower = column.strip().lower()
    return next((lower.removeprefix(prefix) for prefix in PREFIXES if lower.startswith(prefix)), lower)


def _score_columns(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]], method: str, seed: str
) -> tuple[str, ...]:
    """Columns of numbers that vary; one that never varies within a method of several runs is a setting."""
    found = []
    several = len({row[method] for row in rows}) < len(rows)
    for column in columns:
        pairs = {(row[method], row[column]) for row in rows}
        if several and len(pairs) == len({name for name, _ in pairs}):
            continue
        prefixed = column.lower().startswith(("params.", "config.", "tags."))
        if column in (method, seed) or prefixed or _bare(column) in NOT_SCORES or _bare(column).startswith("train/"):
            continue
        values = [_number(row[column]) for row in rows if row[column].strip()]
        numbers = [value for value in values if value is not None and math.isfinite(value)]
        if len(numbers) >= 2 and len(numbers) > 0.5 * len(rows) and None not in values and len(set(numbers)) > 1:
            found.append(column)
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def judge_runs(
    runs: Runs, *, baseline: str | None = None, lower: Sequence[str] = (), higher: Sequence[str] = ()
) -> JudgedRuns:
    """Every method less the baseline (by default the first of the table) over the seeds that both have.

    lower, higher: scores of which less, or more, is better; that of others is told from their names
    (`raycon.column_directions`). Found scores whose direction nothing tells are left out with a warning. Raises
    InvalidFile for such a score that was asked for, or where none is left; for a baseline or a column that is not
    there; for a table with one method.
    """
    methods = list(dict.fromkeys(row[runs.method] for row in runs.rows))
    if len(methods) < 2:
        raise InvalidFile(f"there is one method alone ({methods[0]}); nothing can be compared")
    if baseline is not None and baseline not in methods:
        raise InvalidFile(f"no method {baseline!r}{nearest(baseline, methods)}", field="--baseline")
    base = baseline or methods[0]
    directions, left_out = _directions(runs, lower, higher)
    comparisons: list[Comparison] = []
    for score, better in directions.items():
        comparisons += _of_score(score, better, base, [m for m in methods if m != base], _values(runs, score))
    judged = replace(runs, scores=tuple(directions))
    return JudgedRuns(tuple(comparisons), (*left_out, *_warnings(judged, base, methods)))


def _directions(runs: Runs, lower: Sequence[str], higher: Sequence[str]) -> tuple[dict[str, Better], list[str]]:
    """The better direction of each score that can be judged, and why others are left out."""
    for option, names in (("--lower", lower), ("--higher", higher)):
        for name in names:
            if name not in runs.scores:
                reason = f"{name!r} is no score of the table{nearest(name, list(runs.scores))}; there are "
                raise InvalidFile(reason + ", ".join(runs.scores), field=option)
    if both := sorted(set(lower) & set(higher)):
        raise InvalidFile(f"{both[0]} cannot be better in both directions", field="--lower")
    less: dict[str, Better] = dict.fromkeys(lower, "lower")
    more: dict[str, Better] = dict.fromkeys(higher, "higher")
    found: dict[str, Better] = {}
    left_out: dict[str, str] = {}
    for score in runs.scores:
        better = less.get(score) or more.get(score) or usual_direction(_unprefixed(score))
        if better is None:
            left_out[score] = f"whether more or less of it is better is not known: --higher {score} or --lower {score}"
        elif better == "none":
            left_out[score] = f"it describes a run: --higher {score} or --lower {score} to judge it nevertheless"
        else:
            found[score] = better
    if left_out and (runs.named or not found):
        score, reason = next(iter(left_out.items()))
        raise InvalidFile(f"{score}: {reason}", field="--score")
    return found, [f"{score} is not judged; {reason}" for score, reason in left_out.items()]


def _unprefixed(column: str) -> str:
    return next((column[len(prefix) :] for prefix in PREFIXES if column.lower().startswith(prefix)), column)


def _values(runs: Runs, score: str) -> dict[str, dict[str, float]]:
    """method -> seed -> score; runs of one method and seed are averaged, and warned of elsewhere."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in runs.rows:
        value = _number(row[score])
        if value is not None and math.isfinite(value):
            found.setdefault(row[runs.method], {}).setdefault(row[runs.seed], []).append(value)
    return {method: {seed: fmean(several) for seed, several in seeds.items()} for method, seeds in found.items()}


def _of_score(
    score: str, better: Better, base: str, methods: Sequence[str], values: Mapping[str, Mapping[str, float]]
) -> list[Comparison]:
    sign = 1.0 if better == "higher" else -1.0
    rows: dict[str, dict[str, float]] = {}
    for method in methods:
        ours, theirs = values.get(method, {}), values.get(base, {})
        rows[method] = {seed: sign * (ours[seed] - theirs[seed]) for seed in theirs if seed in ours}
    enough = [method for method in methods if len(rows[method]) > 1]
    p = {method: paired_t_p(list(rows[method].values())) for method in enough}
    adjusted = dict(zip(enough, holm(list(p.values())), strict=True)) if enough else {}
    found = []
    for method in methods:
        row = list(rows[method].values())
        few = method not in p
        sd = 0.0 if few else float(np.std(row, ddof=1))
        found.append(
            Comparison(
                score=score,
                better=better,
                method=method,
                baseline=base,
                seeds=tuple(rows[method]),
                interval=None if few else paired_interval(row),
                p=None if few else p[method],
                adjusted_p=None if few else float(adjusted[method]),
                sign_flip_p=None if few else sign_flip_p(row),
                detectable=None if few or sd == 0 else detectable_effect(sd, len(row), contrasts=len(enough)),
            )
        )
    return found


def _warnings(runs: Runs, base: str, methods: Sequence[str]) -> list[str]:
    found: list[str] = []
    seeds = {method: [row[runs.seed] for row in runs.rows if row[runs.method] == method] for method in methods}
    for method, own in seeds.items():
        doubled = sorted({seed for seed in own if own.count(seed) > 1})
        if doubled:
            found.append(f"{method} has several runs of seed {', '.join(doubled)}; their mean stands for them")
    if len({frozenset(own) for own in seeds.values()}) > 1:
        told = ", ".join(f"{method} {len(set(own))}" for method, own in seeds.items())
        found.append(f"the methods have different seeds ({told}); only shared ones are compared")
    most = max(len(set(seeds[base]) & set(seeds[m])) for m in methods if m != base)
    needed = 0.05 / max(len(methods) - 1, 1)
    if most < 2:
        found.append("no two methods share two seeds: nothing is paired, and no interval can be given")
    elif sign_flip_floor(most) > needed:
        found.append(
            f"with {most} paired seeds the exact sign-flip test cannot come below p = {sign_flip_floor(most):.3g}, and "
            f"Holm over {len(methods) - 1} method(s) begins at {needed:.3g}; verdicts are of the t test, which has no "
            "such floor and rests on the differences being normal"
        )
    for score in runs.scores:
        lost = [row for row in runs.rows if (n := _number(row[score])) is None or not math.isfinite(n)]
        if lost:
            told = ", ".join(f"{row[runs.method]} seed {row[runs.seed]}" for row in lost[:5])
            found.append(f"{len(lost)} run(s) have no {score} ({told}): if they diverged, they are not lost at random")
        words = _bare(score)
        if "test" in words and ("best" in words or "max" in words):
            found.append(f"{score} looks like the best of several looks at the test set: it is too high by selection")
    if len(runs.scores) > 1:
        found.append(
            f"{len(runs.scores)} scores are judged; Holm corrects over the methods of each, not over the scores"
        )
    return found + _setting_warnings(runs, base, methods)


def _setting_warnings(runs: Runs, base: str, methods: Sequence[str]) -> list[str]:
    """Unequal budgets, and ablations that change more than one thing."""
    found: list[str] = []
    taken = {runs.method, runs.seed, *runs.scores}
    budgets = [c for c in runs.columns if c not in taken and _bare(c) in BUDGETS]
    settings = [
        c
        for c in runs.columns
        if c not in taken
        and c not in budgets
        and (c.lower().startswith(("params.", "config.")) or _is_setting(runs, c))
    ]
    for method in methods:
        if method == base:
            continue
        for column in budgets:
            ours, theirs = (_mean(runs, column, name) for name in (method, base))
            limit = UNEQUAL_TIME if _bare(column) in TIMES else UNEQUAL_COUNT
            if ours and theirs and max(ours / theirs, theirs / ours) >= limit:
                found.append(f"unequal budgets: {column} is {ours:.4g} for {method} and {theirs:.4g} for {base}")
        changed = [c for c in settings if _texts(runs, c, method) != _texts(runs, c, base)]
        if len(changed) > 1:
            told = ", ".join(changed[:6]) + (", ..." if len(changed) > 6 else "")
            found.append(f"confounded: {method} differs from {base} in {len(changed)} settings ({told})")
    return found


def _is_setting(runs: Runs, column: str) -> bool:
    """A column that is constant within every method, and not everywhere."""
    methods = {row[runs.method] for row in runs.rows}
    per_method = [_texts(runs, column, method) for method in methods]
    return all(len(texts) == 1 for texts in per_method) and len(set(map(frozenset, per_method))) > 1


def _texts(runs: Runs, column: str, method: str) -> set[str]:
    return {row[column] for row in runs.rows if row[runs.method] == method}


def _mean(runs: Runs, column: str, method: str) -> float | None:
    values = [_number(row[column]) for row in runs.rows if row[runs.method] == method]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(numbers) if numbers else None


def comparison_rows(judged: JudgedRuns) -> list[dict[str, object]]:
    """One row a comparison, for tables."""
    rows: list[dict[str, object]] = []
    for found in judged.comparisons:
        interval = found.interval
        row: dict[str, object] = {"score": found.score, "better": found.better}
        row |= {"method": f"{found.method} - {found.baseline}"}
        row |= {"difference": interval and interval.mean, "low": interval and interval.low}
        row |= {"high": interval and interval.high, "n": len(found.seeds), "p": found.p, "Holm p": found.adjusted_p}
        row |= {"sign-flip p": found.sign_flip_p, "detectable": found.detectable, "verdict": found.verdict}
        rows.append(row)
    return rows
