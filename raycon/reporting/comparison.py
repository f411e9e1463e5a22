"""The report of a comparison: Markdown, CSV, LaTeX, JSON, one HTML page and its pictures. The same logs give the same
bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from raycon.comparison import Compared, Side
from raycon.disk import RealDisk, write_durably
from raycon.metric_names import metric
from raycon.reporting.comparison_figures import pairs_figure, slopes_figure
from raycon.reporting.html import page
from raycon.reporting.latex import booktabs
from raycon.reporting.section import Section, files_of
from raycon.reporting.tables import Row, to_csv
from raycon.statistics import cluster_bootstrap, interquartile_mean, paired_interval, sign_flip_floor
from raycon.statistics.aggregate import LEAST_RUNS

MARK = "UNEQUAL BUDGETS"
LEAST_FOR_IQM = 20


def default_folder(compared: Compared, out: Path) -> Path:
    """A folder of its own for what is compared, below the output folder."""
    told = json.dumps([[side.name, side.identity] for side in compared.sides] + [list(compared.scores)])
    return out / "compare" / hashlib.sha256(told.encode()).hexdigest()[:8]


def write_comparison(compared: Compared, folder: Path) -> Path:
    """Writes compare.md, .html, .csv, .tex, .json, sides.csv, aggregate.csv (of several scores) and pictures."""
    caption, rows = caption_of(compared), pair_rows(compared)
    title = " against ".join(side.name for side in compared.sides)
    sections = _sections(compared, rows)
    files = files_of(sections)
    files["compare.tex"] = booktabs(rows, f"{title}. {caption}", f"tab:{_label(compared)}").encode()
    files["compare.json"] = _json(compared, caption)
    warning = f"{MARK}: {'; '.join(compared.unequal)}" if compared.unequal else ""
    head = [f"# {title}", "", *([f"**{warning}**", ""] if warning else [])]
    body = [line for section in sections for line in section.markdown()]
    files["compare.md"] = ("\n".join([*head, *body, caption]).rstrip() + "\n").encode()
    files["compare.html"] = page(title, [], sections, caption, warning=warning).encode()
    disk = RealDisk()
    disk.makedirs(folder)
    for name, content in files.items():
        write_durably(disk, folder / name, content)
    return folder / "compare.md"


def pair_rows(compared: Compared) -> list[Row]:
    """One row a pair and score. The first column is marked where budgets are unequal."""
    rows: list[Row] = []
    for pair in compared.pairs:
        interval = pair.interval
        row: Row = {"pair": f"{pair.first} - {pair.second}"}
        row |= {"budgets": "UNEQUAL"} if compared.unequal else {}
        row |= {"score": pair.score} if len(compared.scores) > 1 else {}
        row |= {"difference": interval and interval.mean, "low": interval and interval.low}
        row |= {"high": interval and interval.high, "n": len(pair.differences), "verdict": pair.verdict}
        row |= {"Holm p": pair.adjusted_p, "max-T p": pair.joint_p, "sign-flip p": pair.sign_flip_p, "p": pair.p}
        row |= {"equivalence p": pair.equivalence_p} if compared.margin is not None else {}
        rows.append(row | {"detectable": pair.detectable, "better on": pair.improvement})
    return rows


def side_rows(compared: Compared) -> list[Row]:
    """One row a side: its budget, what its method may see, and its scores."""
    rows: list[Row] = []
    for side in compared.sides:
        budget = side.budget
        row: Row = {"side": side.name}
        for score in compared.scores:
            values = list(side.values(score).values())
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            told = {"mean": float(np.mean(values)), "sd": spread, "n": len(values)}
            row |= {name if len(compared.scores) == 1 else f"{score} {name}": value for name, value in told.items()}
        row |= {"without a result": _failures(side), "runs searched": budget.searched, "knobs": side.knobs}
        row |= {"epochs": budget.epochs, "images": budget.images, "seeds": " ".join(map(str, budget.seeds))}
        rows.append(row | {"data": budget.data, "sees": ", ".join(side.sees) or "-"})
    return rows


def aggregate_rows(compared: Compared) -> list[Row]:
    """Several scores in one number a run, for every pair: the mean over scores first, then a t interval over runs, and
    the interquartile mean of each side where there are at least 20 values. Empty for one score, or for scores that are
    no shares."""
    if len(compared.scores) < 2 or any(metric(score).unit != "fraction" for score in compared.scores):
        return []
    tables = {side.name: _table(side, compared.scores) for side in compared.sides}
    rows: list[Row] = []
    for one, other in (
        (pair.first, pair.second) for pair in compared.pairs[: len(compared.pairs) // len(compared.scores)]
    ):
        shared = [seed for seed in tables[one] if seed in tables[other]]
        row: Row = {"pair": f"{one} - {other}", "n": len(shared), "scores": len(compared.scores)}
        differences = [float(np.mean(tables[one][seed]) - np.mean(tables[other][seed])) for seed in shared]
        interval = paired_interval(differences, 1 - compared.alpha) if len(shared) > 1 else None
        row |= {"mean difference": interval and interval.mean, "low": interval and interval.low}
        row |= {"high": interval and interval.high}
        gains = [
            p.improvement for p in compared.pairs if (p.first, p.second) == (one, other) and p.improvement is not None
        ]
        row["better on"] = float(np.mean(gains)) if gains else None
        for name, column in ((one, "IQM of the first"), (other, "IQM of the second")):
            row |= _robust(list(tables[name].values()), column, compared.alpha)
        rows.append(row)
    return rows


def _robust(table: Sequence[Sequence[float]], column: str, alpha: float) -> Row:
    """The interquartile mean, and its bootstrap interval where there are enough runs."""
    if len(table) * (len(table[0]) if table else 0) < LEAST_FOR_IQM:
        return {}
    row: Row = {column: interquartile_mean(table)}
    if len(table) >= LEAST_RUNS:
        draw = np.random.default_rng(0)
        low, high = cluster_bootstrap(table, interquartile_mean, generator=draw, confidence=1 - alpha)
        row |= {f"{column}, low": low, f"{column}, high": high}
    return row


def _table(side: Side, scores: Sequence[str]) -> dict[int, list[float]]:
    """Seed -> its scores, all of them with more being better; seeds that lack one are left out."""
    found = {score: side.values(score) for score in scores}
    seeds = [seed for seed in found[scores[0]] if all(seed in values for values in found.values())]
    turned = {score: metric(score).direction == "lower" for score in scores}
    return {
        seed: [1.0 - found[score][seed] if turned[score] else found[score][seed] for score in scores] for seed in seeds
    }


def caption_of(compared: Compared) -> str:
    """All that a table of these numbers has to say beneath it."""
    sides = compared.sides
    versions = {f"{name} {version}" for side in sides for name, version in side.versions.items()}
    counts = sorted({len(pair.differences) for pair in compared.pairs})
    family = sum(pair.adjusted_p is not None for pair in compared.pairs)
    margin = (
        f", equivalent if two one-sided t tests at a margin of {compared.margin:g} reject" if compared.margin else ""
    )
    budgets = {
        f"{side.budget.searched} runs searched, {side.budget.epochs} epochs x {side.budget.images} images a run"
        for side in sides
    }
    floor = f", smallest p {sign_flip_floor(min(counts)):.3g}" if min(counts) > 1 else ""
    mark = f"{MARK}: {'; '.join(compared.unequal)}. " if compared.unequal else "Equal budgets. "
    return (
        f"{mark}{', '.join(compared.scores)}; n = {' or '.join(map(str, counts))} paired seeds (split, initialisation "
        f"and order vary, hyperparameters do not; none of the seeds chose a configuration), {1 - compared.alpha:.0%} "
        f"paired t intervals, positive: a gain of the first. Rule: shown if Holm's p of the t tests over all {family} "
        f"pair(s) is at most {compared.alpha:g}{margin}; beside it sign-flip tests{floor}, max-T p: the same family by "
        "sign flips. Detectable: the true difference that the t test finds with power 0.8. 'better on': share of "
        "seeds. "
        f"Budget: {' / '.join(sorted(budgets))}. Runs without a result: {sum(map(_failures, sides))}. Test set opened "
        f"{max(side.openings for side in sides)} time(s). {', '.join(sorted(versions))}. "
        f"Identities: {', '.join(dict.fromkeys(side.identity[:16] for side in sides))}."
    )


def _failures(side: Side) -> int:
    return sum(run.state != "complete" for run in side.runs.values())


def _sections(compared: Compared, rows: Sequence[Row]) -> list[Section]:
    sides, aggregate = side_rows(compared), aggregate_rows(compared)
    title = f"Paired differences ({MARK})" if compared.unequal else "Paired differences"
    lost = [f"- lost, {pair.first} - {pair.second}: {'; '.join(pair.lost)}" for pair in compared.pairs if pair.lost]
    pairs_picture = {"differences.png": pairs_figure(compared)} if any(p.differences for p in compared.pairs) else {}
    sections = [Section(title, lost, rows, pairs_picture, {"compare.csv": to_csv(rows).encode()})]
    if aggregate:
        lines = [
            "Scores are averaged within a run first, as all scores of a run share its noise; the unit is the run. IQM: "
            "the mean of the middle half of all runs and scores."
        ]
        sections.append(
            Section("All scores together", lines, aggregate, {}, {"aggregate.csv": to_csv(aggregate).encode()})
        )
    slopes = {
        f"slopes{_number(index)}.png": slopes_figure(compared, score) for index, score in enumerate(compared.scores)
    }
    return [*sections, Section("Sides and budgets", (), sides, slopes, {"sides.csv": to_csv(sides).encode()})]


def _number(index: int) -> str:
    return "" if index == 0 else f"_{index + 1}"


def _label(compared: Compared) -> str:
    return "-".join(side.name for side in compared.sides)


def _json(compared: Compared, caption: str) -> bytes:
    whole = {
        "sides": [
            {"name": side.name, "identity": side.identity, "budget": asdict(side.budget), "sees": list(side.sees)}
            | {
                "knobs": side.knobs,
                "scores": {s: {str(k): v for k, v in side.values(s).items()} for s in compared.scores},
            }
            for side in compared.sides
        ],
        "pairs": [asdict(pair) for pair in compared.pairs],
        "aggregate": aggregate_rows(compared),
        "unequal": list(compared.unequal),
        "margin": compared.margin,
        "alpha": compared.alpha,
        "caption": caption,
    }
    return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()
