"""Do more negatives hurt? A part of the report of a study whose arms differ in nothing but their number."""

from __future__ import annotations

from typing import Any

from raycon.ablation.arms import FULL
from raycon.ablation.study import Answers, Study
from raycon.metric_names import metric
from raycon.reporting.section import Section
from raycon.space import trial_to_plain
from raycon.statistics import negatives_verdict

KNOB = "negatives"


def negatives_section(study: Study, part: Answers) -> Section | None:
    """The verdict over the full arm and all arms that differ from it in one term's `negatives` alone; None where there
    is no such arm, or fewer than two seeds are paired."""
    counts = {FULL: 0} | {arm: count for arm in part.scores if (count := _count(study, arm)) is not None}
    term = next((path for arm in counts if (path := _path(study, arm)) is not None), None)
    if len(counts) < 2 or term is None or len(part.seeds) < 2:
        return None
    counts[FULL] = trial_to_plain(study.configurations[FULL])["objective"][term][KNOB]
    # Less of some scores is better; the verdict is about how good the arms are.
    sign = 1.0 if metric(study.score).direction == "higher" else -1.0
    found = negatives_verdict({count: [sign * value for value in part.scores[arm]] for arm, count in counts.items()})
    said = "more negatives hurt" if found.hurts else "no evidence that more negatives hurt"
    lines = [
        f"Arms that differ in the number of negatives alone ({term}): {', '.join(map(str, sorted(counts.values())))}. "
        f"Best: {found.best}; a doubling adds {found.slope:+.4f}. Best less largest: {found.drop:.4f}, standard error "
        f"{found.standard_error:.4f}: {said}. The rule (more than two standard errors, unpaired) is ours and leans "
        "towards hurting: confirm it on fresh seeds."
    ]
    return Section("Number of negatives", lines)


def _path(study: Study, arm: str) -> str | None:
    """The term whose `negatives` is all that sets an arm apart from the full one."""
    full, other = (trial_to_plain(study.configurations[name]) for name in (FULL, arm))
    terms = [key for key, entry in other["objective"].items() if entry != full["objective"].get(key)]
    if len(terms) != 1 or terms[0] not in full["objective"]:
        return None
    alike: dict[str, Any] = {**full["objective"][terms[0]], KNOB: other["objective"][terms[0]].get(KNOB)}
    same = {**full, "objective": {**full["objective"], terms[0]: alike}} == other
    return terms[0] if same and KNOB in full["objective"][terms[0]] else None


def _count(study: Study, arm: str) -> int | None:
    term = _path(study, arm)
    return None if term is None else int(trial_to_plain(study.configurations[arm])["objective"][term][KNOB])
