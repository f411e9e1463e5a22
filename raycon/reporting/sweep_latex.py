"""The tables of a sweep as LaTeX: its configurations, with intervals where they were repeated, and their
differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raycon.history import RunRecord, SweepHistory
from raycon.metric_names import metric
from raycon.repeats import Difference, paired_differences, scores_by_configuration
from raycon.reporting.latex import booktabs
from raycon.reporting.made_with import versions_of
from raycon.reporting.tables import Row, short_names, shown
from raycon.statistics import paired_interval

BEST = 6
"""At most so many runs of the search stand in the table; the CSV has them all."""


def sweep_tables(history: SweepHistory, repeated: Sequence[SweepHistory]) -> str:
    """The tables; empty where no run has a result. Needs `\\usepackage{booktabs}`."""
    objectives = (*history.maximize, *history.minimize)
    if not objectives or not history.complete(*objectives):
        return ""
    rows, label = configuration_rows(history, repeated), f"tab:{history.name}"
    if len(objectives) > 1 and repeated:
        # A page is not wide enough for several scores, the interval and the knobs.
        rows = [{name: value for name, value in row.items() if name != "knobs"} for row in rows]
    tables = [booktabs(rows, _caption(history, fresh=bool(repeated), knobs="knobs" in rows[0]), label)]
    for number, repetition in enumerate(repeated, start=1):
        found = difference_rows(repetition)
        caption = _difference_caption(history, repetition)
        tables += [booktabs(found, caption, f"{label}-{number}")] if found else []
    return "\n".join(tables)


def configuration_rows(history: SweepHistory, repeated: Sequence[SweepHistory]) -> list[Row]:
    """First the repeated configurations with their fresh seeds, on validation images, then the best runs of the search
    (of several objectives its front) that are not among them, on the one seed that chose. n: fresh seeds."""
    objectives = (*history.maximize, *history.minimize)
    names = short_names(list(dict.fromkeys(name for run in history.runs for name in run.values)))
    rows: list[Row] = []
    among: set[int] = set()
    for repetition in repeated:
        score = (*repetition.maximize, *repetition.minimize)[0]
        for name, scores in scores_by_configuration(repetition, score).items():
            plain = repetition.canonical.get("configurations", {}).get(name, {})
            run = _run_of(history, plain)
            among |= {run.number} if run is not None else set()
            told = f"{name}{'' if run is None else f' (run {run.number})'}"
            row: Row = {"configuration": told if len(repeated) == 1 else f"{told} of {_place(repetition)}"}
            row |= _searched(run, objectives) | _mean(list(scores.values()))
            rows.append(row | {"knobs": _knobs(names, plain)})
    for run in _best(history, objectives):
        if run.number not in among:
            row = {"configuration": f"run {run.number}", **_searched(run, objectives)}
            row |= {"fresh mean": None, "low": None, "high": None, "n": None}
            rows.append(row | {"knobs": _told(names, run.values)})
    return rows


def difference_rows(repetition: SweepHistory) -> list[Row]:
    """The first configuration less each other one, on validation images and, where it was opened, on the test set."""
    score = (*repetition.maximize, *repetition.minimize)[0]
    rows = [_difference_row(one, "validation") for one in paired_differences(repetition, score)]
    if any(run.test for run in repetition.runs):
        name = score.replace("validation/", "test/", 1)
        rows += [_difference_row(one, "test") for one in paired_differences(repetition, name, test=True)]
    return rows


def _difference_row(found: Difference, images: str) -> Row:
    interval = found.interval
    row: Row = {"images": images, "contrast": f"{found.name} - {found.rival}", "difference": interval and interval.mean}
    row |= {"low": interval and interval.low, "high": interval and interval.high, "n": len(found.seeds)}
    return row | {"verdict": found.verdict, "Holm p": found.adjusted_p, "sign-flip p": found.p}


def _mean(values: Sequence[float]) -> Row:
    interval = paired_interval(values) if len(values) > 1 else None
    row: Row = {"fresh mean": sum(values) / len(values) if values else None}
    return row | {"low": interval and interval.low, "high": interval and interval.high, "n": len(values)}


def _searched(run: RunRecord | None, objectives: Sequence[str]) -> Row:
    last = [name.rsplit("/", 1)[1] for name in objectives]
    names = ["search"] if len(last) == 1 else last if len(set(last)) == len(last) else list(objectives)
    scores = [None if run is None else run.metrics.get(name) for name in objectives]
    return dict(zip(names, scores, strict=True))


def _best(history: SweepHistory, objectives: Sequence[str]) -> list[RunRecord]:
    if len(objectives) > 1:
        return sorted(history.pareto_front(), key=lambda run: run.number)[:BEST]
    sign = -1.0 if history.maximize else 1.0
    ranked = sorted(history.complete(*objectives), key=lambda run: (sign * run.metrics[objectives[0]], run.number))
    return ranked[:BEST]


def _run_of(history: SweepHistory, plain: Mapping[str, Any]) -> RunRecord | None:
    """The run of the search whose configuration, seeds aside, is this one."""

    def bare(trial: Mapping[str, Any]) -> dict[str, Any]:
        return {name: part for name, part in trial.items() if name != "seeds"}

    return next((run for run in history.runs if plain and bare(run.trial) == bare(plain)), None)


def _knobs(names: Mapping[str, str], plain: Mapping[str, Any]) -> str:
    """What a configuration has at the places that the search varied."""
    found: dict[str, Any] = {}
    for path in names:
        here: Any = plain
        for part in path.split("."):
            here = here.get(part) if isinstance(here, Mapping) else None
        found |= {path: here} if here is not None and not isinstance(here, Mapping) else {}
    return _told(names, found)


def _told(names: Mapping[str, str], values: Mapping[str, Any]) -> str:
    return "; ".join(f"{names[path]} {shown(value)}" for path, value in values.items()) or "-"


def _place(history: SweepHistory) -> str:
    return history.folder.name if history.folder is not None else history.name


def _caption(history: SweepHistory, *, fresh: bool, knobs: bool) -> str:
    """What the table of configurations has to say beneath it."""
    objectives = (*history.maximize, *history.minimize)
    wanted = [f"{name} (less is better)" if metric(name).direction == "lower" else name for name in objectives]
    complete = len(history.complete(*objectives))
    seeds = sorted({" ".join(f"{name} {seed}" for name, seed in sorted(run.seeds.items())) for run in history.runs})
    several = len(objectives) > 1
    which, of_search = ("its front", "Scores") if several else ("its best", "Search: the score")
    repeated = (
        "Fresh mean: over n seeds that chose nothing (each seeds split, initialisation and order), with its 95 % t "
        "interval; a dash: not repeated. "
    )
    return (
        f"{history.name}: {', '.join(wanted)}, on validation images. {of_search} on the one seed that chose "
        f"({'; '.join(seeds[:3])}), on which the best is lucky as well as good; {complete} complete of "
        f"{len(history.runs)} runs, of which {which} stand here. {repeated if fresh else ''}"
        f"{'Knobs: what the search varied. ' if knobs else ''}Made with "
        f"{'; or '.join(versions_of(history))}. Sweep {history.identity[:16]}."
    )


def _difference_caption(history: SweepHistory, repetition: SweepHistory) -> str:
    score = (*repetition.maximize, *repetition.minimize)[0]
    less = " (less is better)" if metric(score).direction == "lower" else ""
    failed = sum(run.state != "complete" for run in repetition.runs)
    families = {one.rivals for one in paired_differences(repetition, score)}
    family = max(families, default=0)
    return (
        f"{history.name}, repeated on fresh seeds: {score.split('/', 1)[1]}{less}; paired differences, 95 % t "
        f"intervals over n seeds. Rule: shown if Holm's p of the paired t tests over {family} rival(s) is at most 0.05 "
        f"and the sign is that of a gain. {failed} run(s) without a result; test set opened {repetition.openings} "
        f"time(s). Made with {'; or '.join(versions_of(repetition))}. Repetition {repetition.identity[:16]}."
    )
