"""Compares configurations of sweeps, repetitions and studies on the seeds that they share, and only at equal budgets.

A side is `NAME` or `NAME:ARM`. NAME is a folder of the output folder: a sweep stands for its winner on the fresh seeds
of its repetition, a repetition for the configuration that its rivals are compared with, a study for its full arm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raycon.ablation.arms import FULL
from raycon.ablation.study import RETUNED
from raycon.comparison import UNKNOWN, Budget, Compared, Side, compared_pairs, numbers, unequal_parts
from raycon.errors import InvalidFile, Refused, nearest
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep
from raycon.metric_names import metric
from raycon.repeats import WINNER, by_configuration
from raycon.settings import Settings
from raycon.sweep_folders import find_sweep, repeats_of


class Comparison(Compared):
    """A comparison that can be written down."""

    def report(self, folder: Path) -> Path:
        """Writes compare.md, .html, .csv, .tex, .json and pictures into `folder`; returns the path of compare.md."""
        from raycon.reporting.comparison import write_comparison

        return write_comparison(self, folder)


def compare(
    *names: str,
    scores: Sequence[str] = (),
    margin: float | None = None,
    alpha: float = 0.05,
    unequal_budgets: bool = False,
    settings: Settings | None = None,
) -> Comparison:
    """Compares two or more sides, or, with one name, all configurations of that repetition or study.

    scores: by default the one that all sides were run for. margin: the smallest difference of interest, for verdicts of
    equivalence. Raises InvalidFile for names that are not there and scores that are not measured, Refused for a sweep
    without repetition, with what to run, and for unequal budgets unless they are asked for.
    """
    if not names:
        raise InvalidFile("name two or more of sweeps, repetitions or studies", field="compare")
    settings = settings or Settings()
    if margin is not None and not margin > 0:
        raise InvalidFile(f"should be above 0, not {margin:g}", field="--margin")
    sides = _all_of(names[0], settings) if len(names) == 1 else [find_side(name, settings) for name in names]
    doubled = {side.name for side in sides if [other.name for other in sides].count(side.name) > 1}
    if doubled or len(sides) < 2:
        reason = f"{sorted(doubled)[0]} stands there twice" if doubled else f"{names[0]} has one configuration alone"
        raise InvalidFile(reason, field="compare")
    unequal = tuple(unequal_parts(sides))
    if unequal and not unequal_budgets:
        told = "".join(f"\n  {line}" for line in unequal)
        raise Refused(f"the budgets are not equal; --unequal-budgets compares nevertheless, and marks the table:{told}")
    chosen = tuple(dict.fromkeys(scores)) or tuple(dict.fromkeys(side.budget.score for side in sides))[:1]
    _check_scores(chosen, sides)
    pairs = compared_pairs(sides, chosen, margin, alpha)
    return Comparison(tuple(sides), chosen, pairs, unequal, margin, alpha)


def find_side(name: str, settings: Settings) -> Side:
    """The side that `NAME` or `NAME:ARM` stands for. Raises as `compare`."""
    folder_name, _, arm = name.partition(":")
    history = read_sweep(find_sweep(folder_name, settings))
    if "repeat_of" not in history.canonical:
        if "replication_of" in history.canonical:
            raise InvalidFile(f"{folder_name} is a replication; `raycon replicate` judges it", field="compare")
        history = _repetition_of(history, arm or WINNER, settings)
        return _side(name, history, arm or WINNER, settings)
    return _side(name, history, arm or _leading(history), settings)


def _all_of(name: str, settings: Settings) -> list[Side]:
    history = read_sweep(find_sweep(name, settings))
    if "repeat_of" not in history.canonical:
        raise InvalidFile(f"{name} is a search; name another side, or one of its repetitions", field="compare")
    return [_side(f"{history.name}:{arm}", history, arm, settings) for arm in history.canonical["configurations"]]


def _leading(history: SweepHistory) -> str:
    configurations = list(by_configuration(history))
    return FULL if FULL in configurations else configurations[0]


def _repetition_of(sweep: SweepHistory, arm: str, settings: Settings) -> SweepHistory:
    """The one repetition of a sweep that has the configuration `arm`; of several, all must have the same one."""
    found = [read_sweep(place) for place in repeats_of(sweep.name, settings)]
    having = [history for history in found if arm in history.canonical["configurations"]]
    if not found:
        raise Refused(
            f"{sweep.name} has no repetition: a winner is the luckiest on the seed that chose it; `raycon repeat` with "
            "its file runs it on fresh ones"
        )
    if not having:
        known = list(dict.fromkeys(name for history in found for name in history.canonical["configurations"]))
        raise InvalidFile(f"no repetition of {sweep.name} has {arm!r}{nearest(arm, known)}; there: {', '.join(known)}")
    # One that has the seeds of all others, such as a repetition to which more seeds were added, stands for them.
    widest = max(having, key=lambda history: len(history.canonical["seeds"]))
    seeds, plain = set(widest.canonical["seeds"]), widest.canonical["configurations"][arm]
    others = [history.canonical for history in having]
    if any(set(one["seeds"]) - seeds or one["configurations"][arm] != plain for one in others):
        told = ", ".join(f"{history.name} (seeds {numbers(history.canonical['seeds'])})" for history in having)
        raise InvalidFile(f"{sweep.name} has several repetitions, name one of them: {told}", field="compare")
    return widest


def _side(name: str, history: SweepHistory, arm: str, settings: Settings) -> Side:
    runs = by_configuration(history)
    if arm not in runs:
        raise InvalidFile(f"{history.name} has no {arm!r}{nearest(arm, list(runs))}; it has {', '.join(runs)}")
    found = runs[arm]
    plain = history.canonical["configurations"][arm]
    versions = history.attempts[-1].versions if history.attempts else {}
    searched, knobs = _searched(history, arm, plain, settings)
    data = dict(plain["data"])
    images = data.get("train_size")
    budget = Budget(
        searched=searched,
        epochs=int(plain["training"]["epochs"]),
        images=images if images is not None else f"all of {data['dataset']}",
        seeds=tuple(sorted(found)),
        data=_data_hash(data, versions),
        score=history.canonical["score"],
    )
    sees = tuple(data.get("reveal") or ())
    return Side(name, found, budget, sees, knobs, versions, history.identity, history.openings)


def _searched(history: SweepHistory, arm: str, plain: Mapping[str, Any], settings: Settings) -> tuple[int | str, int]:
    """(runs of the search that chose a configuration, its knobs); 0 of both for one that was given by hand."""
    if arm.endswith(RETUNED):
        retune = history.canonical["ablation"]["retune"]
        return int(retune["trials"]), len(retune["space"])
    path = settings.folder / str(history.canonical["repeat_of"])
    search = read_sweep(path) if (path / LOG_NAME).is_file() else None
    if arm == WINNER:
        return (len(search.runs), len(_knobs(search))) if search is not None else (UNKNOWN, 0)
    chosen = search is not None and any(_bare(run.trial) == _bare(plain) for run in _chosen(search))
    return (len(search.runs), len(_knobs(search))) if search is not None and chosen else (0, 0)


def _chosen(search: SweepHistory) -> list[RunRecord]:
    """The run that a search names best, or its front."""
    if len(search.maximize) + len(search.minimize) != 1:
        return search.pareto_front() if search.maximize or search.minimize else []
    best = search.best()
    return [best] if best is not None else []


def _knobs(search: SweepHistory) -> set[str]:
    return {name for run in search.runs for name in run.values}


def _bare(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in plain.items() if name != "seeds"}


def _data_hash(data: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    content = versions.get(f"data {data['dataset']}", UNKNOWN)
    section = {name: part for name, part in data.items() if name != "reveal"}
    return f"{content}/{hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()[:8]}"


def _check_scores(scores: Sequence[str], sides: Sequence[Side]) -> None:
    for score in scores:
        if metric(score).direction == "none":
            raise InvalidFile(f"{score} describes a run; neither more nor less of it is better", field="--score")
        for side in sides:
            if not side.values(score):
                opened = "; `raycon report NAME --test` opens the test set" if score.startswith("test/") else ""
                raise InvalidFile(f"no complete run of {side.name} has {score}{opened}", field="--score")
