"""A study as runs: every arm with every seed, and the claims that were stated before the first of them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raycon.ablation.arms import FULL, Arms, make_arms, named_as
from raycon.ablation.contrasts import Answer, answer, questions
from raycon.config import Ablation, Trial
from raycon.errors import InvalidFile
from raycon.history import RunRecord, SweepHistory
from raycon.metric_names import metric
from raycon.repeats import Listed, by_configuration, check_fresh, check_score
from raycon.space import trial_from
from raycon.space.sections import read_ablation

RETUNED = ", re-tuned"
"""Ends the name of an arm whose hyperparameters were searched for itself."""

NOT_STATED = ("of", "values", "seeds", "score")
"""Parts of a design that the canonical form has elsewhere, or that only led to its configurations."""


@dataclass(frozen=True)
class Study(Listed):
    """The arms of a design as listed runs. The claims are part of the identity: other claims make another study."""

    design: Ablation = dataclasses.field(default_factory=Ablation)
    arms: Arms | None = None

    @property
    def name(self) -> str:
        """The folder's name: what is ablated, and a hash of which runs and claims."""
        return f"{self.of[:40]}-ablation-{self.identity()[:8]}"

    def canonical(self) -> dict[str, Any]:
        """All that the verdicts depend on."""
        design = json.loads(json.dumps(dataclasses.asdict(self.design)))
        stated = {key: value for key, value in design.items() if key not in NOT_STATED}
        return super().canonical() | {"ablation": stated}

    @property
    def retuned(self) -> bool:
        """Whether each arm also stands there with hyperparameters of its own."""
        return any(name.endswith(RETUNED) for name in self.configurations)

    @classmethod
    def of_canonical(cls, canonical: Mapping[str, Any]) -> Study:
        """The study that a log's canonical form describes."""
        design = read_ablation(canonical["ablation"])
        trials = {name: trial_from(plain) for name, plain in canonical["configurations"].items()}
        frozen = {name: trial for name, trial in trials.items() if not name.endswith(RETUNED)}
        arms = named_as(make_arms(trials[FULL], design), frozen)
        code = tuple(canonical.get("code", ()))
        return cls(canonical["repeat_of"], trials, tuple(canonical["seeds"]), canonical["score"], code, design, arms)


def make_study(
    of: str, base: Trial, design: Ablation, score: str, *, selected_with: tuple[Trial, ...], code: tuple[str, ...] = ()
) -> Study:
    """The study of a configuration, checked as far as it can be without a run.

    selected_with: the trials whose seeds took part in choosing the configuration. Raises InvalidFile for a design that
    does not fit, and Refused for seeds that are not fresh.
    """
    arms = make_arms(base, design)
    check_fresh(design.seeds, selected_with)
    check_score(score, list(arms.trials.values()))
    try:
        asked = questions(design, arms)
    except ValueError as error:
        raise InvalidFile(str(error), field="ablation.claims") from None
    if not asked:
        raise InvalidFile("asks nothing: a plan with contrasts, arms to compare, or claims", field="ablation")
    return Study(of, arms.trials, design.seeds, score, code, design, arms)


@dataclass(frozen=True)
class Answers:
    """The answers of a study over the seeds that every arm completed. lost: a text for each other seed. scores: arm ->
    its scores on those seeds. retuned: whether the arms are those with hyperparameters of their own."""

    answers: tuple[Answer, ...]
    seeds: tuple[int, ...]
    lost: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    retuned: bool


def study_answers(study: Study, history: SweepHistory, *, test: bool = False, retuned: bool = False) -> Answers:
    """What the finished runs of a study say; `test` takes the test scores instead of those on validation images,
    `retuned` the arms with hyperparameters of their own."""
    assert study.arms is not None
    score = study.score.replace("validation/", "test/", 1) if test else study.score
    names = {arm: arm + RETUNED if retuned else arm for arm in study.arms.trials}
    kept: list[int] = []
    lost: list[str] = []
    values: dict[str, list[float]] = {arm: [] for arm in names}
    runs = by_configuration(history)
    for seed in study.seeds:
        found = {arm: _score(runs.get(name, {}).get(seed), score, test) for arm, name in names.items()}
        whole = {arm: value for arm, value in found.items() if value is not None}
        if len(whole) < len(names):
            lost.append(f"seed {seed}: {', '.join(arm for arm in names if arm not in whole)}")
            continue
        kept.append(seed)
        for arm, value in whole.items():
            values[arm].append(value)
    higher = metric(score).direction == "higher"
    answers = answer(study.design, study.arms, values, higher=higher) if len(kept) > 1 else []
    return Answers(tuple(answers), tuple(kept), tuple(lost), {a: tuple(row) for a, row in values.items()}, retuned)


def _score(run: RunRecord | None, score: str, test: bool) -> float | None:
    if run is None or run.state != "complete":
        return None
    value = (run.test if test else run.metrics).get(score)
    return value if value is not None and math.isfinite(value) else None
