"""Repeats the winner of a sweep, and its rivals, on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raycon.errors import InvalidFile
from raycon.execution import check_data, run_listed
from raycon.observer import Observer
from raycon.own_code import refuse_while_loading
from raycon.repeats import WINNER, Listed, check_fresh, check_score, score_of
from raycon.results import RepeatResult, Winner


def repeat(
    winner: Winner,
    *,
    seeds: Sequence[int] | None = None,
    against: Mapping[str, Mapping[str, Any]] | None = None,
    score: str | None = None,
    observer: Observer | None = None,
    reuse: bool = True,
) -> RepeatResult:
    """Runs the winner and its rivals on fresh seeds, each of which seeds split, weights and order alike for all.

    seeds, against, score: by default those of the file's `repeat`. A rival is given as in `sweep.first`. reuse: take
    over finished runs of other repetitions and studies (see `raycon.reuse`). Raises Refused if a seed took part in
    choosing the winner.
    """
    refuse_while_loading("raycon.repeat")
    space, settings = winner.space, winner.settings
    chosen = tuple(space.repeat.seeds if seeds is None else seeds)
    rivals = space.repeat.against if against is None else against
    if WINNER in rivals:
        raise InvalidFile("is the name of what the rivals are compared with", field=f"repeat.against.{WINNER}")
    configurations = {WINNER: space.trial(winner.values)}
    others = {name: space.trial(space.complete(dict(values))) for name, values in rivals.items()}
    configurations |= {name: trial for name, trial in others.items() if trial != configurations[WINNER]}
    same = tuple(name for name in others if name not in configurations)
    check_fresh(chosen, list(configurations.values()))
    wanted_score = score or score_of(space.repeat, space.sweep)
    check_score(wanted_score, list(configurations.values()))
    listed = Listed(winner.sweep, configurations, chosen, wanted_score, tuple(space.code.hashes))
    if space.code.loop is None:
        space.located(lambda: check_data(configurations[WINNER]))
    run_listed(listed, space.sweep, settings, observer, space.code, reuse=reuse)
    return RepeatResult(settings.folder / listed.name, wanted_score, same)
