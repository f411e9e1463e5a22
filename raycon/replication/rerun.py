"""Runs a part of a bundle again, and says whether the results are those that the stored runs let expect.

A configuration with two or more stored seeds is run with a fresh seed, and its score is held against the prediction
interval of the stored ones. A configuration with a single stored run has no spread to judge by: it is run with the same
seeds, and the two scores are compared as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from raycon.config import Seeds, Sweep, Trial
from raycon.disk import RealDisk, write_durably
from raycon.errors import InvalidFile, Refused
from raycon.execution import check_data, run_listed
from raycon.history import RunRecord, SweepHistory, read_sweep
from raycon.observer import Observer
from raycon.own_code import OwnCode, activate, own_code
from raycon.repeats import Listed, check_score
from raycon.replication.verify import Verified
from raycon.reporting.tables import Row, to_csv, to_markdown
from raycon.seeding import derive_seed
from raycon.settings import Settings
from raycon.statistics import prediction_interval
from raycon.wording import one_line

CONFIDENCE = 0.95
SEEDS = 2**31
"""Fresh seeds lie below."""

Verdict = Literal["replicated", "not replicated", "unresolved"]


@dataclass(frozen=True)
class Pick:
    """A stored run that is to be run again. known: the scores of its configuration, one for each seed; fresh: whether
    `seeds` are new ones."""

    key: str
    stored: float
    known: tuple[float, ...]
    seeds: Mapping[str, int]
    fresh: bool
    plain: Mapping[str, Any]


@dataclass(frozen=True)
class Replication(Listed):
    """The picked runs as a list; the name of a configuration is the key of the stored run.

    How many are picked is no part of the identity: more continue what fewer began.
    """

    picks: tuple[Pick, ...] = ()
    bundle: str = ""
    seed: int = 0

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The values of every run, in the order in which they were picked."""
        return [{"configuration": pick.key, "seed": pick.seeds["split"]} for pick in self.picks]

    @property
    def name(self) -> str:
        """The folder's name: what is run again, and a hash of which part."""
        of = re.sub(r"[^A-Za-z0-9_-]", "-", self.of)[:40].strip("-") or "bundle"
        return f"{of}-replicate-{self.identity()[:8]}"

    def trial(self, values: Mapping[str, Any]) -> Trial:
        """The configuration of that name, which has its seeds already."""
        return self.configurations[values["configuration"]]

    def canonical(self) -> dict[str, Any]:
        """The bundle, by the hash of its manifest, and the seed by which runs are picked from it."""
        whole = {"replication_of": self.of, "bundle": self.bundle, "seed": self.seed, "score": self.score}
        return whole | ({"code": list(self.code)} if self.code else {})


def plan_replication(
    bundle: Verified, trials: int, *, seed: int = 0, trust_code: bool = False
) -> tuple[Replication, OwnCode]:
    """Picks the runs, without running anything but, with `trust_code`, the definitions of own code.

    Raises Refused for a bundle with own code that is not trusted, InvalidFile for more runs than there are, or where
    the configurations cannot be run by this version.
    """
    if bundle.texts and not trust_code:
        told = ", ".join(f"code/{hashlib.sha256(text.encode()).hexdigest()[:8]}...py" for text in bundle.texts)
        raise Refused(f"the bundle brings own code ({told}), Python that would be run: read it, then --trust-code")
    score = next(iter((*bundle.history.maximize, *bundle.history.minimize)), None)
    if score is None:
        raise InvalidFile("has no score to compare", field="bundle")
    picks = pick_runs(bundle.history, score, trials, derive_seed(seed, bundle.identifier))
    code = own_code(files=OwnCode(bundle.texts))
    activate(code)
    configurations = {pick.key: _trial(pick) for pick in picks}
    check_score(score, list(configurations.values()))
    of = bundle.history.name
    listed = Replication(
        of, configurations, (), score, tuple(code.hashes), picks=tuple(picks), bundle=bundle.identifier, seed=seed
    )
    return listed, code


def run_replication(
    listed: Replication, code: OwnCode, settings: Settings, observer: Observer | None = None
) -> SweepHistory:
    """Runs what is left of the list on Ray. Raises as `raycon.sweep`, SomeRunsFailed at the end included."""
    if code.loop is None:
        check_data(next(iter(listed.configurations.values())))
    run_listed(listed, Sweep(), settings, observer, code)
    return read_sweep(settings.folder / listed.name)


def pick_runs(history: SweepHistory, score: str, count: int, seed: int) -> list[Pick]:
    """`count` complete runs in an order that `seed` draws: one of each configuration, then a second one, and so on.

    More picks begin with those of fewer. Raises InvalidFile where there are not so many runs.
    """
    groups = _configurations(history, score)
    there = sum(len(runs) for runs in groups)
    if not 1 <= count <= there:
        raise InvalidFile(f"should be between 1 and {there}, the complete runs of the bundle", field="--trials")
    groups.sort(key=lambda runs: derive_seed(seed, "configuration", min(run.key for run in runs)))
    for runs in groups:
        runs.sort(key=lambda run: derive_seed(seed, "run", run.key))
    used = {number for run in history.runs for number in run.seeds.values()}
    return [_pick(run, runs, score, seed, used) for run, runs in _round_robin(groups, count)]


def _round_robin(groups: Sequence[list[RunRecord]], count: int) -> Iterator[tuple[RunRecord, list[RunRecord]]]:
    for turn in range(max(map(len, groups))):
        for runs in groups:
            if turn < len(runs) and count > 0:
                count -= 1
                yield runs[turn], runs


def _configurations(history: SweepHistory, score: str) -> list[list[RunRecord]]:
    """The complete runs, those of one configuration together; of runs with the same seeds the first."""
    found: dict[str, dict[str, RunRecord]] = {}
    for run in history.complete(score):
        bare = {name: part for name, part in run.trial.items() if name != "seeds"}
        seeds = json.dumps(run.seeds, sort_keys=True)
        found.setdefault(json.dumps(bare, sort_keys=True), {}).setdefault(seeds, run)
    return [list(runs.values()) for runs in found.values()]


def _pick(run: RunRecord, runs: Sequence[RunRecord], score: str, seed: int, used: set[int]) -> Pick:
    known = tuple(other.metrics[score] for other in sorted(runs, key=lambda other: other.number))
    # Only what differed between the stored runs is drawn anew: the interval tells of nothing else.
    varied = {name for name in run.seeds if len({other.seeds[name] for other in runs}) > 1}
    seeds = dict(run.seeds)
    if varied:
        number = derive_seed(seed, "fresh", run.key) % SEEDS
        while number in used:
            number = (number + 1) % SEEDS
        used.add(number)
        seeds |= dict.fromkeys(varied, number)
    return Pick(run.key, run.metrics[score], known, seeds, bool(varied), run.trial)


def _trial(pick: Pick) -> Trial:
    from raycon.space import trial_from

    return replace(trial_from(pick.plain), seeds=Seeds(**pick.seeds))


@dataclass(frozen=True)
class Outcome:
    """One run again. value: None where it has none, and `state` says why. interval, joint: where the new score was to
    be expected on its own, and together with all others; None where the seeds are the stored ones."""

    pick: Pick
    state: str
    value: float | None
    interval: tuple[float, float] | None
    joint: tuple[float, float] | None

    @property
    def known(self) -> bool:
        """Whether it can be judged: a run that diverged can, one that was never finished or ran out of memory not."""
        return self.value is not None or self.state == "diverged"

    def inside(self, interval: tuple[float, float] | None) -> bool:
        """Whether the new score lies in an interval, or, without one, equals the stored score."""
        if self.value is None:
            return False
        # One unit in the last place, for the arithmetic of an interval of width zero.
        room = 1e-12 * max(1.0, abs(self.value))
        return (
            self.value == self.pick.stored
            if interval is None
            else interval[0] - room <= self.value <= interval[1] + room
        )

    @property
    def said(self) -> str:
        """Inside or outside, equal or not, in words."""
        if self.value is None:
            return self.state.replace("_", " ")
        if self.interval is None:
            return "equal" if self.inside(None) else f"differs by {self.value - self.pick.stored:+.3g}"
        return "inside" if self.inside(self.interval) else "outside"


@dataclass(frozen=True)
class Replicated:
    """What a replication says. changed: versions that are not those of the stored runs."""

    score: str
    outcomes: tuple[Outcome, ...]
    verdict: Verdict
    reason: str
    changed: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """One row a run."""
        return [
            {
                "run": outcome.pick.key,
                "seeds": "fresh" if outcome.pick.fresh else "the same",
                "stored": outcome.pick.stored,
                "stored runs": len(outcome.pick.known),
                "low": outcome.interval[0] if outcome.interval else None,
                "high": outcome.interval[1] if outcome.interval else None,
                "new": outcome.value,
                "result": outcome.said,
            }
            for outcome in self.outcomes
        ]

    def lines(self) -> list[str]:
        """Score, chance and verdict for people."""
        fresh = [outcome for outcome in self.outcomes if outcome.pick.fresh]
        same = [outcome for outcome in self.outcomes if not outcome.pick.fresh]
        found = [f"score: {self.score}"]
        if fresh:
            out = sum(outcome.known and not outcome.inside(outcome.interval) for outcome in fresh)
            chance = (1 - CONFIDENCE) * len(fresh)
            found.append(
                f"fresh seeds: {out} of {len(fresh)} outside of the {CONFIDENCE:.0%} prediction interval of the stored "
                f"runs; {chance:.2g} expected by chance"
            )
        if same:
            found.append(
                f"the same seeds: {sum(one.inside(None) for one in same)} of {len(same)} equal to the last bit"
            )
        if self.changed:
            found.append(f"versions: {', '.join(self.changed)}")
        return [*found, f"verdict: {self.verdict}: {self.reason}"]


def judge_replication(listed: Replication, history: SweepHistory, stored: SweepHistory) -> Replicated:
    """Holds the new runs against the stored ones.

    'not replicated' needs a fresh-seed score outside of an interval that is so wide that, were all scores of one
    population, a replication of as many runs would leave any of its intervals in at most 5 % of cases (Bonferroni), or
    a run that diverged and had not. A score of the same seeds that is not equal leaves it 'unresolved': equality is to
    be expected on the same kind of machine with the same versions only, and one run has no spread.
    """
    again = {run.values["configuration"]: run for run in history.runs}
    fresh = sum(pick.fresh for pick in listed.picks)
    outcomes = tuple(_outcome(pick, again.get(pick.key), listed.score, fresh) for pick in listed.picks)
    failed = [one for one in outcomes if one.known and _contradicts(one)]
    missing = [one for one in outcomes if not one.known]
    unequal = [one for one in outcomes if one.known and one.interval is None and not one.inside(None)]
    verdict: Verdict = "replicated"
    reason = "every new score is where the stored runs let expect it"
    if failed:
        verdict = "not replicated"
        reason = f"{_named(failed)}: outside even of the interval that holds for all together, or diverged"
    elif missing:
        verdict, reason = "unresolved", f"{_named(missing)}: without a result"
    elif unequal:
        verdict = "unresolved"
        reason = f"{_named(unequal)}: not equal, and a single stored run has no spread to judge by"
    return Replicated(listed.score, outcomes, verdict, reason, tuple(_changed(stored, history)))


def write_replication(folder: Path, found: Replicated) -> Path:
    """Writes `report/replication.md` and `.csv` into the folder of the new runs; returns the page's path."""
    page = "\n".join([f"# {folder.name}", "", to_markdown(found.rows()), *(f"- {line}" for line in found.lines()), ""])
    for name, content in (("replication.csv", to_csv(found.rows())), ("replication.md", page)):
        write_durably(RealDisk(), folder / "report" / name, content.encode())
    return folder / "report" / "replication.md"


def _outcome(pick: Pick, run: RunRecord | None, score: str, fresh: int) -> Outcome:
    state = run.state if run is not None else "not begun"
    value = run.metrics.get(score) if run is not None and state == "complete" else None
    if value is not None and not math.isfinite(value):
        state, value = "diverged", None
    if not pick.fresh:
        return Outcome(pick, state, value, None, None)
    joint = 1 - (1 - CONFIDENCE) / fresh
    intervals = [prediction_interval(pick.known, confidence=level) for level in (CONFIDENCE, joint)]
    return Outcome(pick, state, value, intervals[0], intervals[1])


def _contradicts(outcome: Outcome) -> bool:
    return outcome.state == "diverged" or (outcome.joint is not None and not outcome.inside(outcome.joint))


def _named(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(f"run {outcome.pick.key}" for outcome in outcomes)


def _changed(stored: SweepHistory, history: SweepHistory) -> list[str]:
    """`torch 2.14.0 -> 2.14.1`, for what both logs name."""
    before, after = (one.attempts[-1].versions if one.attempts else {} for one in (stored, history))
    pairs = [(name, before[name], after.get(name, before[name])) for name in before]
    return [one_line(f"{name} {old} -> {new}", longest=80) for name, old, new in pairs if old != new]
