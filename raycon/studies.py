"""Runs an ablation study: arms and seeds as one list of runs on Ray, and what it says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raycon.ablation.arms import FULL, Arms, check_trained
from raycon.ablation.study import RETUNED, Answers, Study, make_study, study_answers
from raycon.config import Ablation, Repeat, Trial
from raycon.errors import InvalidFile
from raycon.execution import check_data, run_listed
from raycon.history import SweepHistory, read_sweep
from raycon.metric_names import metric
from raycon.observer import Observer
from raycon.repeats import score_of
from raycon.results import Winner
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import Space, loads, trial_to_plain
from raycon.space.sections import read_ablation
from raycon.statistics import detectable_effect, holm, paired_interval, paired_t_p, required_seeds
from raycon.sweep_folders import found_sweep

SIZES = (0.5, 1.0, 2.0)
"""Effects, in standard deviations of their paired differences, for which a plan says how many seeds find them."""


@dataclass(frozen=True)
class StudyResult:
    """A study as its log tells it."""

    study: Study
    folder: Path

    @property
    def history(self) -> SweepHistory:
        """All runs, as records; `values` hold the arm's name as `configuration`, and the seed."""
        return read_sweep(self.folder)

    def answers(self, *, test: bool = False) -> Answers:
        """The contrasts of the plan and the claims; of arms with hyperparameters of their own where there are some."""
        return study_answers(self.study, self.history, test=test, retuned=self.study.retuned)

    def table(self, baseline: str = FULL) -> str:
        """Every other arm less the baseline, over paired seeds: mean, interval, Holm p over these arms, n.

        Raises InvalidFile for a baseline that is no arm.
        """
        scores = self.answers().scores
        if baseline not in scores:
            raise InvalidFile(f"no arm is called {baseline!r}; there are {', '.join(scores)}", field="baseline")
        rows = {
            arm: [a - b for a, b in zip(values, scores[baseline], strict=True)]
            for arm, values in scores.items()
            if arm != baseline
        }
        if not rows or len(scores[baseline]) < 2:
            return f"{len(scores[baseline])} paired seed(s): too few for an interval"
        p = holm([paired_t_p(row) for row in rows.values()])
        width = max(len(arm) for arm in rows)
        less = " (less is better)" if metric(self.study.score).direction == "lower" else ""
        head = f"{'arm':<{width}}  {self.study.score}{less}: arm - {baseline}"
        lines = [f"{head}, 95 % paired t interval, Holm p, n"]
        for (arm, row), adjusted in zip(rows.items(), p, strict=True):
            found = paired_interval(row)
            interval = f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
            lines.append(f"{arm:<{width}}  {interval}  p = {adjusted:.3f}  n = {found.n}")
        return "\n".join(lines)

    def report(self) -> Path:
        """Writes the report (Markdown, HTML, LaTeX, CSV, JSON, pictures); returns the path of the page."""
        from raycon.reporting.study_report import write_study_report

        return write_study_report(self.folder)


def ablate(
    subject: Winner | Space,
    *,
    plan: str | None = None,
    over: Sequence[str] | None = None,
    components: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Sequence[int] | None = None,
    score: str | None = None,
    claims: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    reuse: bool = True,
) -> StudyResult:
    """Runs the arms of an ablation on fresh paired seeds; the same call continues where the last one ended.

    subject: a winner, or a space whose `ablation` section says what is ablated. plan, over, components, seeds, score
    and claims stand in for those of the section (see `raycon.config.Ablation`). settings: by default the winner's.
    reuse: take over finished runs of other studies and repetitions in the output folder (see `raycon.reuse`).
    Raises InvalidFile for a design that does not fit, before any run, and Refused for seeds that chose the
    configuration.
    """
    given = {"plan": plan, "over": over, "components": components, "seeds": seeds, "score": score, "claims": claims}
    where = settings or (subject.settings if isinstance(subject, Winner) else Settings())
    study, space = plan_study(subject, given, where)
    return run_study(study, space, where, observer, reuse=reuse)


def run_study(
    study: Study, space: Space, settings: Settings, observer: Observer | None = None, *, reuse: bool = True
) -> StudyResult:
    """Runs what is left of a planned study, the searches of its arms first where it has some."""
    if space.code.loop is None:
        space.located(lambda: check_data(study.configurations[FULL]))
    if study.design.retune is not None:
        study = _with_retuned(study, space, settings)
    run_listed(study, space.sweep, settings, observer, space.code, reuse=reuse)
    return StudyResult(study, settings.folder / study.name)


def run_count(study: Study) -> int:
    """The runs on fresh seeds; every arm stands there twice where it is also re-tuned."""
    return len(study.runs) * (1 if study.design.retune is None else 2)


def plan_study(
    subject: Winner | Space, given: Mapping[str, Any] | None = None, settings: Settings | None = None
) -> tuple[Study, Space]:
    """The study of a subject, without running anything but looking up a sweep's winner. Raises as `ablate`."""
    space = subject.space if isinstance(subject, Winner) else subject
    changed = {name: _plain(value) for name, value in (given or {}).items() if value is not None}
    design = _design(space, changed)
    if not isinstance(subject, Winner) and design.of == "best":
        subject = found_sweep(space, settings or Settings()).best()
    if isinstance(subject, Winner):
        base, chose = space.trial(subject.values), (space.trial(subject.values),)
        of = subject.sweep
    else:
        base = space.located(lambda: space.trial(_completed(space, design.values)))
        of, chose = space.name, (base,)
    score = design.score or score_of(Repeat(), space.sweep)

    def made() -> Study:
        return make_study(of, base, design, score, selected_with=chose, code=tuple(space.code.hashes))

    study = space.located(made)
    if space.code.loop is None:
        space.located(lambda: check_trained(study.configurations))
    return study, space


def _completed(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(space.complete(values))
    except InvalidFile as error:
        raise InvalidFile(error.reason, field="ablation.values") from None


def _design(space: Space, changed: Mapping[str, Any]) -> Ablation:
    if not changed:
        if space.ablation is None:
            raise InvalidFile("the file has no `ablation` section: say what to ablate", field="ablation")
        return space.ablation
    written = {} if space.ablation is None else json.loads(json.dumps(dataclasses.asdict(space.ablation)))
    return read_ablation(written | dict(changed))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _with_retuned(study: Study, space: Space, settings: Settings) -> Study:
    """The study with a second copy of every arm, whose hyperparameters were searched for it with the same budget."""
    assert study.arms is not None
    retuned = {name + RETUNED: _retuned(study, trial, space, settings) for name, trial in study.arms.trials.items()}
    return dataclasses.replace(study, configurations={**study.configurations, **retuned})


def _retuned(study: Study, trial: Trial, space: Space, settings: Settings) -> Trial:
    """The best trial of an arm's own search. A hole whose place the arm does not have is left out."""
    retune = study.design.retune
    assert retune is not None
    plain = trial_to_plain(trial)
    for path, hole in retune.space.items():
        _put_hole(plain, path, hole)
    side = "maximize" if study.sweep(space.sweep).maximize else "minimize"
    own: dict[str, Any] = {side: [study.score], "trials": retune.trials, "seed": space.sweep.seed}
    own["startup"] = max(2, retune.trials // 2)
    content = json.dumps({"trial": plain, "sweep": own}, sort_keys=True)
    name = f"{study.of[:30]}-retune-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    arm_space = loads(content, name=name, code=space.code)
    best = sweep(arm_space, settings=settings).best()
    return best.space.trial(best.values)


def _put_hole(plain: dict[str, Any], path: str, hole: Any) -> None:
    *parents, last = path.split(".")
    here: Any = plain
    for parent in parents:
        here = here.get(parent) if isinstance(here, dict) else None
    if isinstance(here, dict) and last in here:
        here[last] = hole


def study_plan(study: Study) -> list[str]:
    """What a study will cost and can show, in plain lines; nothing is trained for it."""
    from raycon.ablation.contrasts import questions
    from raycon.ablation.verdicts import floor_line

    assert study.arms is not None
    arms: Arms = study.arms
    asked = questions(study.design, arms)
    family = sum(question.claim is not None for question in asked) or len(asked)
    n = len(study.seeds)
    runs = run_count(study)
    epochs = sum(trial.training.epochs for trial in arms.trials.values()) * n
    plan, retune = study.design.plan.replace("_", " "), study.design.retune
    searched = f", and {retune.trials} runs of search for each arm" if retune else ""
    lines = [
        f"ablation of {study.of}: {plan}, {len(arms.trials)} arms x {n} seeds = {runs} runs",
        f"arms: {', '.join(arms.trials)}",
        f"cost: {epochs} epochs in all{searched}",
        f"questions: {len(asked)}, {family} of them corrected together (Holm, {study.design.alpha:g})",
    ]
    lines += [f"  {question.label}" for question in asked]
    if arms.fraction is not None:
        made = ", ".join(f"{name} = {' x '.join(of)}" for name, of in arms.fraction.generators.items())
        lines.insert(1, f"fraction of resolution {arms.fraction.resolution}: {made}")
    smallest = detectable_effect(1.0, n, alpha=study.design.alpha, contrasts=family)
    lines.append(floor_line(n, family, study.design.alpha))
    lines.append(f"power: 80 % for an effect of {smallest:.2f} standard deviations of its paired differences")
    needed = [f"{required_seeds(size, 1.0, alpha=study.design.alpha, contrasts=family)} for {size:g}" for size in SIZES]
    lines.append(f"seeds for 80 % by the size of the effect in standard deviations: {', '.join(needed)}")
    return lines
