"""A winner and its rivals on fresh seeds: a sweep whose runs are listed beforehand, and its paired differences."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raycon.config import Repeat, Seeds, Sweep, Trial
from raycon.errors import InvalidFile, Refused
from raycon.history import RunRecord, SweepHistory
from raycon.metric_names import metric
from raycon.space.sections import check_offered
from raycon.statistics import Interval, holm, paired_interval, paired_t_p, sign_flip_floor, sign_flip_p

WINNER = "winner"
"""What a repetition calls the configuration that the rivals are compared with."""


@dataclass(frozen=True)
class Listed:
    """Named configurations, each to be run with each seed. The first name is the one that the others are compared with.

    It stands in for a search space: a run's values are {"configuration": name, "seed": seed}. `code` holds the hashes
    of the user's own files.
    """

    of: str
    configurations: Mapping[str, Trial]
    seeds: tuple[int, ...]
    score: str
    code: tuple[str, ...] = ()

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The values of every run, seed by seed, so that pairs end together."""
        return [{"configuration": name, "seed": seed} for seed in self.seeds for name in self.configurations]

    @property
    def name(self) -> str:
        """The folder's name: what is repeated, and a hash of which runs."""
        return f"{self.of[:40]}-repeat-{self.identity()[:8]}"

    def trial(self, values: Mapping[str, Any]) -> Trial:
        """The configuration with split, init and order seeded by the run's own seed: pairs share all three."""
        seed = int(values["seed"])
        return replace(self.configurations[values["configuration"]], seeds=Seeds(split=seed, init=seed, order=seed))

    def canonical(self) -> dict[str, Any]:
        """All that the result depends on."""
        from raycon.space import trial_to_plain

        configurations = {name: trial_to_plain(trial) for name, trial in self.configurations.items()}
        whole = {"repeat_of": self.of, "score": self.score, "seeds": list(self.seeds), "configurations": configurations}
        return whole | ({"code": list(self.code)} if self.code else {})

    def identity(self) -> str:
        """SHA-256 of `canonical`."""
        return hashlib.sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()

    def sweep(self, like: Sweep) -> Sweep:
        """The sweep that runs the list, with the workers and retries of `like`; no run depends on another."""
        count = len(self.runs)
        higher = metric(self.score).direction == "higher"
        return Sweep(
            trials=count,
            lag=count,
            sampler="random",
            workers=like.workers,
            retries=like.retries,
            maximize=(self.score,) if higher else (),
            minimize=() if higher else (self.score,),
        )


@dataclass
class ListSampler:
    """Answers ask n with the n-th run of a list."""

    listed: Listed

    def ask(self, number: int) -> dict[str, Any]:
        return self.listed.runs[number]

    def restore(self, number: int, values: dict[str, Any]) -> None:
        if values != self.listed.runs[number]:
            raise Refused(f"run {number} was {values}, and is now {self.listed.runs[number]}")

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        """Nothing is learnt from a result."""


def check_fresh(seeds: Sequence[int], selected_with: Sequence[Trial]) -> None:
    """Refuses seeds that took part in choosing the winner: on those it was the luckiest, not the best."""
    if not seeds:
        raise InvalidFile("needs one seed at least", field="repeat.seeds")
    if min(seeds) < 0:
        raise InvalidFile(f"{min(seeds)} is below 0", field="repeat.seeds")
    if len(seeds) != len(set(seeds)):
        raise InvalidFile("a seed stands there twice", field="repeat.seeds")
    used = {seed for trial in selected_with for seed in (trial.seeds.split, trial.seeds.init, trial.seeds.order)}
    overlap = sorted(used & set(seeds))
    if overlap:
        raise Refused(f"seeds {overlap} chose the configuration and cannot judge it; take others than {sorted(used)}")


def score_of(repeat: Repeat, sweep: Sweep) -> str:
    """The metric that a repetition compares: `repeat.score`, else the first objective of the sweep."""
    score = repeat.score or next(iter(sweep.objectives), None)
    if score is None:
        raise InvalidFile("names no metric to compare, and the sweep has no objective", field="repeat.score")
    return score


def check_score(score: str, trials: Sequence[Trial]) -> None:
    """Refuses a metric that a repetition cannot compare: one that is unknown, has no better direction, is not measured
    on validation images, or is not among the scores of every configuration. Raises InvalidFile."""
    try:
        direction = metric(score).direction
    except InvalidFile as error:
        raise InvalidFile(error.reason, field="repeat.score") from None
    split, protocol, _ = score.split("/", 2)
    if split == "test":
        reason = f"{score!r}: runs are compared on validation images; `raycon report --test` adds the test set"
        raise InvalidFile(reason, field="repeat.score")
    if split != "validation":
        raise InvalidFile(f"{score!r} is measured on images that were trained on", field="repeat.score")
    if direction == "none":
        raise InvalidFile(f"{score!r} describes a run; neither more nor less of it is better", field="repeat.score")
    for trial in trials:
        if protocol not in trial.scores:
            known = ", ".join(trial.scores) or "none"
            raise InvalidFile(f"{score} needs {protocol!r} among the trial's scores ({known})", field="repeat.score")
        check_offered(score, trial, "repeat.score")


@dataclass(frozen=True)
class Difference:
    """One configuration less another over the seeds that both completed. `p` is the exact two-sided sign-flip p value;
    its floor with n seeds is 2 / 2**n. None where fewer than two seeds are paired.

    lost: one text for each seed without a pair, which says whose run lacks a value and why. Pairs that are lost because
    a configuration diverges are not lost at random: whoever reads the difference has to know of them.
    adjusted_p: of Student's paired t test, by Holm's rule over all `rivals` that the first configuration is compared
    with; with one rival the plain p, whose verdict is that of the interval."""

    name: str
    rival: str
    score: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    interval: Interval | None
    p: float | None
    lost: tuple[str, ...] = ()
    rivals: int = 1
    adjusted_p: float | None = None

    @property
    def verdict(self) -> str:
        """`shown`: the first configuration is the better one, which is said wrongly of at most 2.5 % of repetitions in
        which all are equal."""
        if self.interval is None:
            return "too few seeds"
        better = self.interval.mean < 0 if metric(self.score).direction == "lower" else self.interval.mean > 0
        differs = self.adjusted_p is not None and self.adjusted_p <= 0.05
        return "not shown" if not differs else "shown" if better else "shown to be worse"

    @property
    def line(self) -> str:
        """The difference in one line of plain text, in the metric's own unit."""
        whole = len(self.seeds) + len(self.lost)
        lost = f"; {len(self.lost)} of {whole} pairs lost ({'; '.join(self.lost)})" if self.lost else ""
        if self.interval is None:
            return f"{self.name} - {self.rival}: {len(self.seeds)} paired seed(s), too few for an interval{lost}"
        low, high, mean = self.interval.low, self.interval.high, self.interval.mean
        floor = sign_flip_floor(len(self.seeds))
        family = f"Holm p = {self.adjusted_p:.3f} over {self.rivals} rivals, " if self.rivals > 1 else ""
        return (
            f"{self.name} - {self.rival}: {mean:+.4f}, 95 % interval [{low:+.4f}, {high:+.4f}] ({self.verdict}), "
            f"{family}n = {len(self.seeds)} paired seeds, sign-flip p = {self.p:.3f} (floor {floor:.3f}){lost}"
        )


def by_configuration(history: SweepHistory) -> dict[str, dict[int, RunRecord]]:
    """The runs of a repetition by configuration and seed, in the order of their numbers."""
    found: dict[str, dict[int, RunRecord]] = {}
    for run in history.runs:
        found.setdefault(run.values["configuration"], {})[int(run.values["seed"])] = run
    return found


def scores_by_configuration(history: SweepHistory, score: str) -> dict[str, dict[int, float]]:
    """Configuration -> seed -> its finite validation score, of the runs that have one."""
    told = {
        name: {seed: _value_or_reason(run, score, test=False) for seed, run in found.items()}
        for name, found in by_configuration(history).items()
    }
    return {name: {seed: v for seed, v in found.items() if not isinstance(v, str)} for name, found in told.items()}


def paired_differences(history: SweepHistory, score: str, *, test: bool = False) -> list[Difference]:
    """The first configuration less each other one, over the seeds that both completed.

    `test` takes the test scores of the log instead of the validation scores; `score` then names the same metric on the
    split `test`.
    """
    runs = by_configuration(history)
    values = {
        name: {seed: _value_or_reason(run, score, test) for seed, run in found.items()} for name, found in runs.items()
    }
    first, *others = list(values) or [""]
    # A repetition that was interrupted may lack whole seeds; those that one configuration has are expected of all.
    seeds = list(dict.fromkeys(seed for found in values.values() for seed in found))
    return _adjusted([_difference(first, rival, score, seeds, values) for rival in others])


def _adjusted(differences: list[Difference]) -> list[Difference]:
    """With Holm's p over those that have one: a winner is set against all of its rivals at once."""
    tested = [one for one in differences if one.interval is not None]
    if not tested:
        return differences
    adjusted = dict(zip(map(id, tested), holm([paired_t_p(one.differences) for one in tested]), strict=True))
    return [replace(one, rivals=len(tested), adjusted_p=adjusted.get(id(one))) for one in differences]


def _value_or_reason(run: RunRecord, score: str, test: bool) -> float | str:
    """The score of a run, or in words why it has none."""
    if run.state != "complete":
        return run.state.replace("_", " ")
    value = (run.test if test else run.metrics).get(score)
    if value is None:
        return "has no test score" if test else f"has no {score}"
    return value if math.isfinite(value) else f"is {value}"


def _difference(
    name: str, rival: str, score: str, seeds: Sequence[int], values: Mapping[str, Mapping[int, float | str]]
) -> Difference:
    paired: dict[int, float] = {}
    lost: list[str] = []
    for seed in seeds:
        ours, theirs = (values[arm].get(seed, "not begun") for arm in (name, rival))
        if isinstance(ours, str) or isinstance(theirs, str):
            told = [f"{arm} {what}" for arm, what in ((name, ours), (rival, theirs)) if isinstance(what, str)]
            lost.append(f"seed {seed}: {', '.join(told)}")
        else:
            paired[seed] = ours - theirs
    differences = tuple(paired.values())
    enough = len(paired) > 1
    return Difference(
        name,
        rival,
        score,
        tuple(paired),
        differences,
        paired_interval(differences) if enough else None,
        sign_flip_p(differences) if enough else None,
        tuple(lost),
    )
