"""What a sweep will cost, and, by a probe, whether a search can pay here at all."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from raycon.config import Seeds, Trial
from raycon.errors import InvalidFile, RayconError
from raycon.metric_names import metric
from raycon.progress import duration
from raycon.repeats import check_score, score_of
from raycon.seeding import derive_seed
from raycon.space import Space
from raycon.space.holes import Hole
from raycon.statistics import sign_flip_floor

SEARCH_PAYS_FROM = 1.0
"""Spread of configurations over spread of seeds from which a run says more about its configuration than about its
seed: at 1 the scores of two seeds of a configuration correlate by one half."""


@dataclass(frozen=True)
class Plan:
    """What will be run. Nothing is trained and no data are read for it."""

    name: str
    runs: int
    listed: int
    holes: int
    conditional: int
    workers: int
    lag: int
    epochs: int
    stops_early: bool
    repeat_runs: int
    repeat_seeds: int
    floor: float | None

    def lines(self, slots: int, seconds: float | None, *, asked: bool = True) -> list[str]:
        """The plan in plain text. slots: those there are, `asked` for or found. seconds: of one run, where measured.

        A search uses lag + 1 of the slots at most; the runs of its repetition do not wait for one another."""
        search, repetition = min(slots, self.lag + 1, self.runs), min(slots, self.repeat_runs)
        early = ", some of them stopped early" if self.stops_early else ""
        lines = [
            f"sweep {self.name}: {self.runs} runs of {self.epochs} epoch(s), {self.listed} of them given{early}",
            f"space: {self.holes} knobs, {self.conditional} of them only under a condition; every corner is valid",
            f"slots: {self._slots(search, slots) if asked else search}, {self.workers} worker(s) each",
        ]
        if self.repeat_runs:
            wider = f", {repetition} at a time" if repetition != search else ""
            lines.append(
                f"repeat: {self.repeat_runs} runs on {self.repeat_seeds} fresh seed(s){wider}; {self._tests()}"
            )
        if seconds is None:
            lines.append("time: unknown; `raycon plan --probe` trains a few configurations and measures it")
        else:
            sweep = seconds * math.ceil(self.runs / search)
            repeat = seconds * math.ceil(self.repeat_runs / max(repetition, 1))
            lines.append(
                f"time: {seconds:.1f} s a run as measured alone; about {duration(sweep)} for the sweep and "
                f"{duration(repeat)} for its repetition, if {max(search, repetition)} at a time are as fast"
            )
        return lines

    def _slots(self, search: int, slots: int) -> str:
        most = min(slots, self.runs)
        if most <= self.lag + 1:
            return f"{search} of {slots}" if search < slots else str(search)
        knob = f"`--set sweep.lag={most - 1}` is another search, with {most}"
        return f"{search} of {slots} (sweep.lag + 1 at most; {knob})"

    def _tests(self) -> str:
        if self.floor is None:
            return "too few for an interval"
        return f"verdicts by t tests; smallest p of the sign-flip test beside them {self.floor:.3f}"


def make_plan(space: Space) -> Plan:
    """The plan of a space."""
    seeds = len(space.repeat.seeds)
    epochs = max(corner.trial.training.epochs for corner in space.corners())
    return Plan(
        name=space.name,
        runs=space.sweep.trials,
        listed=min(len(space.first), space.sweep.trials),
        holes=len(space.holes),
        conditional=sum(bool(hole.conditions) for hole in space.holes.values()),
        workers=space.sweep.workers,
        lag=space.sweep.lag,
        epochs=epochs,
        stops_early=space.sweep.stop_early is not None,
        repeat_runs=seeds * (1 + len(space.repeat.against)),
        repeat_seeds=seeds,
        floor=sign_flip_floor(seeds) if seeds > 1 else None,
    )


@dataclass(frozen=True)
class Probe:
    """The score of each random configuration (rows) on each seed (columns), and the seconds of a run.

    diverged: how many configurations are left out because a seed of theirs ended without a finite score."""

    score: str
    values: tuple[tuple[float, ...], ...]
    seconds: float
    diverged: int = 0

    def ratio(self, rows: Sequence[Sequence[float]]) -> float | None:
        """Spread of configurations over spread of seeds: the standard deviation of the configurations' own means, less
        what seeds alone would give them, over the standard deviation between seeds. None with fewer than three rows;
        infinite where seeds make no difference and configurations do, zero where neither does.

        A one-way analysis of variance: with k seeds, Var(mean) = Var(configuration) + Var(seed) / k.
        """
        if len(rows) < 3:
            return None
        seeds = len(rows[0])
        within = statistics.fmean(statistics.variance(row) for row in rows)
        between = statistics.variance([statistics.fmean(row) for row in rows])
        configuration = max(between - within / seeds, 0.0)
        if within == 0:
            return math.inf if configuration > 0 else 0.0
        return math.sqrt(configuration / within)

    def lines(self) -> list[str]:
        """The verdict in plain text, for the whole space and for its better half."""
        higher = metric(self.score).direction == "higher"
        upper = sorted(self.values, key=statistics.fmean, reverse=higher)[: (len(self.values) + 1) // 2]
        whole, best = self.ratio(self.values), self.ratio(upper)
        lines = [
            f"probe: {len(self.values)} random configurations x {len(self.values[0])} seeds, {self.score}, "
            f"{self.seconds:.1f} s a run",
            f"spread of configurations / spread of seeds: {_number(whole)} in the whole space, "
            f"{_number(best)} in its better half",
        ]
        if self.diverged:
            lines.append(f"left out: {self.diverged} configurations that diverged on a seed; tighten the space first")
        if best is None or whole is None:
            return [*lines, "too few configurations for a verdict; it takes at least 5"]
        if best >= SEARCH_PAYS_FROM:
            return [*lines, "verdict: good configurations differ by more than seeds do; a search can pay"]
        if whole >= SEARCH_PAYS_FROM:
            return [
                *lines,
                "verdict: bad configurations are told from good ones, but among the good ones seeds drown the "
                "differences: a search crowns noise there; take a reasonable setting, and ask what matters by an "
                "ablation on many seeds",
            ]
        return [*lines, "verdict: seeds drown configurations; a search cannot pay here, an ablation on many seeds can"]


def _number(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.2f}"


def probe_trials(space: Space, configurations: int, seeds: int) -> Iterator[tuple[int, int, Trial]]:
    """Random configurations of the space, each with the same few seeds, as (configuration, seed, trial)."""
    for number in range(configurations):
        draw = random.Random(derive_seed(space.sweep.seed, "probe", number))
        trial = space.fill(partial(_suggest, draw)).trial
        for seed in range(seeds):
            fresh = derive_seed(space.sweep.seed, "probe seed", seed) % 2**31
            yield number, seed, replace(trial, seeds=Seeds(split=fresh, init=fresh, order=fresh))


def _suggest(draw: random.Random, path: str, hole: Hole) -> Any:
    return draw_value(hole, draw)


def draw_value(hole: Hole, draw: random.Random) -> Any:
    """A value of a hole, uniform on its own scale."""
    if hole.kind == "choice":
        return draw.choice(hole.options)
    low, high = hole.bounds()
    if hole.kind == "integer":
        return draw.randint(int(low), int(high))
    if hole.kind == "log_integer":
        # Half a unit beyond each end, so that the ends get their share when the draw is rounded.
        drawn = math.exp(draw.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(drawn), int(low)), int(high))
    return hole.inner(draw.random())


def probe(
    space: Space,
    configurations: int = 8,
    seeds: int = 2,
    on_run: Callable[[int, int, float], None] = lambda done, of, score: None,
) -> Probe:
    """Trains random configurations on a few seeds each, in this process, and compares the two spreads.

    Raises InvalidFile if the space has no objective or the data cannot be used, RayconError if no configuration ended
    with a score on all seeds.
    """
    import time

    from raycon.errors import Diverged
    from raycon.one_trial import train

    if seeds < 2:
        raise InvalidFile("needs at least 2 seeds to see what seeds do", field="seeds")
    score = score_of(space.repeat, space.sweep)
    found: dict[int, list[float]] = {}
    started, done = time.monotonic(), 0
    for number, _, trial in probe_trials(space, configurations, seeds):
        check_score(score, [trial])
        try:
            value = train(trial, code=space.code)[score]
        except Diverged:
            value = float("nan")
        done += 1
        found.setdefault(number, []).append(value)
        on_run(done, configurations * seeds, value)
    rows = tuple(tuple(row) for row in found.values() if all(math.isfinite(value) for value in row))
    if not rows:
        raise RayconError("no configuration ended with a score on all seeds")
    return Probe(score, rows, (time.monotonic() - started) / done, len(found) - len(rows))
