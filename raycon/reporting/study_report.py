"""The report of an ablation study: Markdown, CSV, LaTeX, JSON, pictures and one HTML page that holds them all.

Everything comes from the event log, and nothing of it depends on when runs happened or how often the command was
interrupted: the same results give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raycon.ablation.arms import FULL
from raycon.ablation.contrasts import Answer
from raycon.ablation.study import RETUNED, Answers, Study, study_answers
from raycon.ablation.study_file import FILE_NAME, study_command, study_file
from raycon.ablation.verdicts import floor_line
from raycon.disk import RealDisk, write_durably
from raycon.history import SweepHistory, read_sweep
from raycon.reporting.html import page
from raycon.reporting.latex import booktabs
from raycon.reporting.made_with import made_lines, versions_of
from raycon.reporting.negatives import negatives_section
from raycon.reporting.section import Section, files_of
from raycon.reporting.study_figures import arms_figure, effects_figure, interaction_figure
from raycon.reporting.tables import Row, to_csv
from raycon.reuse import reused_line
from raycon.space import trial_to_plain
from raycon.space.canonical import differences
from raycon.statistics import benjamini_hochberg, max_t_p


def write_study_report(folder: Path) -> Path:
    """Writes `report/` of the study in `folder`: study.md, study.html, contrasts.csv, arms.csv, runs.csv,
    contrasts.tex, study.json, the pictures, and study.yaml, from which the study can be run again.

    Returns the path of study.md. Raises RayconError where the folder holds no study.
    """
    history = read_sweep(folder)
    study = Study.of_canonical(history.canonical)
    parts = [
        study_answers(study, history, retuned=retuned) for retuned in ([True, False] if study.retuned else [False])
    ]
    tested = any(run.test for run in history.runs)
    if tested:
        parts += [study_answers(study, history, test=True, retuned=part.retuned) for part in parts]
    titles = [_title(study, part, test=index >= len(parts) / 2 and tested) for index, part in enumerate(parts)]
    files = _files(study, history, parts, titles)
    target, disk = folder / "report", RealDisk()
    disk.makedirs(target)
    for name, content in files.items():
        write_durably(disk, target / name, content)
    return target / "study.md"


def _title(study: Study, part: Answers, *, test: bool) -> str:
    split = "test images" if test else "validation images"
    if not study.retuned:
        return f"Contrasts on {split}"
    return f"Contrasts on {split}, arms {'re-tuned with equal budget' if part.retuned else 'frozen'}"


def _files(study: Study, history: SweepHistory, parts: Sequence[Answers], titles: Sequence[str]) -> dict[str, bytes]:
    caption = _caption(study, history, parts[0])
    sections = [_arms_section(study, parts[0])]
    tables = []
    for index, (part, title) in enumerate(zip(parts, titles, strict=True)):
        number = "" if index == 0 else f"_{index + 1}"
        rows = contrast_rows(part)
        effects = effects_figure(part, f"{study.of}: {title.lower()}", study.score) if part.answers else None
        pictures = {f"effects{number}.png": effects} if effects is not None else {}
        sections.append(Section(title, (), rows, pictures, {f"contrasts{number}.csv": to_csv(rows).encode()}))
        tables.append(booktabs(rows, f"{study.of}. {title}. {caption}", f"tab:{study.of}{number}"))
    heat = interaction_figure(parts[0], study)
    sections += [Section("Two-way interactions", pictures={"interactions.png": heat})] if heat is not None else []
    sections += [found] if (found := negatives_section(study, parts[0])) is not None else []
    facts = _facts(study, history, parts[0])
    files = files_of(sections)
    files["runs.csv"] = to_csv(_run_rows(history)).encode()
    files["contrasts.tex"] = "\n".join(tables).encode()
    files[FILE_NAME] = study_file(study).encode()
    files["study.json"] = _json(study, history, parts, titles, caption)
    files["study.md"] = _markdown(study, facts, sections, caption, parts[0].lost).encode()
    files["study.html"] = page(f"{study.of}: ablation", facts, sections, caption, _changes(study)).encode()
    return files


def _arms_section(study: Study, part: Answers) -> Section:
    rows = arm_rows(study, part)
    pictures = {"arms.png": arms_figure(part, study.score)}
    return Section("Arms", (), rows, pictures, {"arms.csv": to_csv(rows).encode()})


def contrast_rows(part: Answers) -> list[Row]:
    """One row a contrast, claims first. `max-T p` corrects over the family as Holm does, and uses that its contrasts
    share runs; `exploratory q` (Benjamini and Hochberg) controls the share of false discoveries outside of it."""
    family = [index for index, found in enumerate(part.answers) if found.adjusted_p is not None]
    others = [index for index, found in enumerate(part.answers) if found.adjusted_p is None]
    joint: dict[int, float] = {}
    if len(family) > 1:
        table = np.array([part.answers[index].differences for index in family]).T
        joint = dict(zip(family, max_t_p(table).tolist(), strict=True))
    found_q = benjamini_hochberg([part.answers[index].p for index in others]).tolist() if others else []
    q = dict(zip(others, found_q, strict=True))
    return [
        _contrast_row(found, joint.get(index), q.get(index), exploratory=bool(others))
        for index, found in enumerate(part.answers)
    ]


def _contrast_row(found: Answer, joint: float | None, q: float | None, *, exploratory: bool) -> Row:
    interval = found.interval
    row: Row = {
        "contrast": found.question.label,
        "effect": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "n": interval.n,
        "verdict": found.verdict,
        "Holm p": found.adjusted_p,
        "max-T p": joint,
        "sign-flip p": found.sign_flip_p,
        "p": found.p,
        "equivalence p": found.equivalence_p,
        "detectable": found.detectable,
    }
    return row | ({"exploratory q": q} if exploratory else {})


def arm_rows(study: Study, part: Answers) -> list[Row]:
    """One row an arm: its components, epochs, mean and standard deviation over the paired seeds."""
    assert study.arms is not None
    rows: list[Row] = []
    for arm, scores in part.scores.items():
        n = len(scores)
        mean = sum(scores) / n if n else None
        spread = None
        if n > 1 and mean is not None:
            spread = (sum((value - mean) ** 2 for value in scores) / (n - 1)) ** 0.5
        on = study.arms.on.get(arm)
        listed = (
            "(outside of the plan)" if on is None else ", ".join(c for c in study.arms.components if c in on) or "-"
        )
        name = arm + RETUNED if part.retuned else arm
        row: Row = {"arm": arm, "components": listed or "-", "epochs": study.configurations[name].training.epochs}
        rows.append(row | {"mean": mean, "sd": spread, "n": n})
    return rows


def _run_rows(history: SweepHistory) -> list[Row]:
    """The runs without what depends on the clock or on interruptions."""
    rows = []
    for run in history.runs:
        row: Row = {"arm": run.values["configuration"], "seed": run.values["seed"], "state": run.state}
        rows.append(row | dict(sorted(run.metrics.items())) | dict(sorted(run.test.items())))
    return [{k: v for k, v in row.items() if not k.startswith("train/speed/")} for row in rows]


def _facts(study: Study, history: SweepHistory, part: Answers) -> list[str]:
    design = study.design
    family = sum(found.adjusted_p is not None for found in part.answers)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(history.counts().items()))
    facts = [
        f"score: {study.score}; plan: {design.plan.replace('_', ' ')}, {len(part.scores)} arms, "
        f"weights: {design.weights}",
        f"seeds: {', '.join(map(str, study.seeds))}, each for split, weights and order of all arms alike; "
        f"{len(part.seeds)} of {len(study.seeds)} are paired in all arms",
        f"family: {family} contrast(s) under Holm at {design.alpha:g}; "
        + ("the stated claims" if design.claims else "all contrasts of the plan"),
        *([floor_line(len(part.seeds), family, design.alpha)] if len(part.seeds) > 1 and family else []),
        f"runs: {counts}",
        f"stated before the first run (SHA-256): {history.identity}",
    ]
    facts += [line] if (line := reused_line(history)) is not None else []
    facts += [f"again: `{study_command(study)}` ({FILE_NAME} lies beside this page and holds the whole study)"]
    facts += made_lines(history)
    fraction = None if study.arms is None else study.arms.fraction
    if fraction is not None:
        made = ", ".join(f"{name} = {' x '.join(of)}" for name, of in fraction.generators.items())
        facts.insert(1, f"fraction of resolution {fraction.resolution}: {made}")
    return facts


def _caption(study: Study, history: SweepHistory, part: Answers) -> str:
    """What a table of these numbers has to say beneath it."""
    failures = sum(run.state != "complete" for run in history.runs)
    taken = sum(run.reused is not None for run in history.runs)
    return (
        f"{study.score}; n = {len(part.seeds)} paired seeds (split, initialisation and order vary; hyperparameters do "
        f"not), {1 - study.design.alpha:.0%} paired t intervals, two-sided paired t tests with Holm's correction over "
        "the family; a positive effect is a gain; detectable: the true effect that this test finds with power 0.8. "
        f"Rule: {_rule(study)}. The configuration was fixed before these seeds were run; budget: {_epochs(study)}"
        f"{_searched(study)}; test set opened {history.openings} time(s); {failures} run(s) without a result, {taken} "
        f"taken over from earlier studies. {_scale(study)}Made with {'; or '.join(versions_of(history))}. Study "
        f"{history.identity[:16]}."
    )


def _scale(study: Study) -> str:
    """On which scale the effects of a factorial plan are."""
    if study.design.plan not in ("factorial", "fractional"):
        return ""
    return (
        "Effects over all arms are on the scale of main effects: a two-way one is half of a difference of differences, "
        "which the other interactions are, a three-way one a quarter. "
    )


def _rule(study: Study) -> str:
    """What the verdicts mean, in a sentence."""
    alpha = f"{study.design.alpha:g}"
    if study.design.claims:
        return (
            f"a claim is equivalent within its margin if two one-sided t tests reject at {alpha}, else shown if its "
            f"Holm p is at most {alpha} and the sign is the claimed one, else unresolved; all other contrasts are "
            "exploratory"
        )
    return (
        f"shown if the Holm p (of the t tests, which have no smallest value) is at most {alpha}, else not shown; too "
        "few seeds for the sign-flip test: its smallest p, after Holm, is above that"
    )


def _epochs(study: Study) -> str:
    """How long runs are trained: in all arms alike, or in most of them and in each of the others."""
    epochs = {name: trial.training.epochs for name, trial in study.configurations.items()}
    usual = Counter(epochs.values()).most_common(1)[0][0]
    others = [f"{name}: {count}" for name, count in epochs.items() if count != usual]
    return f"{usual} epoch(s) a run in every arm" + (f" but {'; '.join(others)}" if others else "")


def _searched(study: Study) -> str:
    retune = study.design.retune
    return "" if retune is None else f", and {retune.trials} runs of search for every re-tuned arm"


def _changes(study: Study) -> dict[str, list[str]]:
    """What sets each arm apart from the full one."""
    full = trial_to_plain(study.configurations[FULL])
    others = {name: trial for name, trial in study.configurations.items() if name != FULL}
    return {name: differences(full, trial_to_plain(trial)) for name, trial in others.items()}


def _markdown(
    study: Study,
    facts: Sequence[str],
    sections: Sequence[Section],
    caption: str,
    lost: Sequence[str],
) -> str:
    lines = [f"# {study.of}: ablation", "", *(f"- {fact}" for fact in facts), ""]
    lines += [line for section in sections for line in section.markdown()]
    lines += [f"- left out, {text}" for text in lost] + ([""] if lost else [])
    lines += [caption, "", "## What the arms change", ""]
    for name, changes in _changes(study).items():
        lines += [f"- {name}: {'; '.join(changes)}"]
    return "\n".join(lines).rstrip() + "\n"


def _json(study: Study, history: SweepHistory, parts: Sequence[Answers], titles: Sequence[str], caption: str) -> bytes:
    def plain(found: Answer) -> dict[str, Any]:
        return dataclasses.asdict(found)

    whole = {
        "study": study.of,
        "identity": history.identity,
        "score": study.score,
        "caption": caption,
        "design": study.canonical()["ablation"],
        "parts": [
            {
                "title": title,
                "seeds": list(part.seeds),
                "lost": list(part.lost),
                "scores": {arm: list(row) for arm, row in part.scores.items()},
                "contrasts": [plain(found) for found in part.answers],
            }
            for title, part in zip(titles, parts, strict=True)
        ],
    }
    return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()
