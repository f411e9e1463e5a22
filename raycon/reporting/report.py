"""The report of a sweep: Markdown, one HTML page, CSV, JSON and pictures, from the event log alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from raycon.disk import RealDisk, write_durably
from raycon.history import SweepHistory, read_sweep
from raycon.repeats import Difference, paired_differences
from raycon.reporting.figures import repeat_figure, sweep_figure
from raycon.reporting.html import page
from raycon.reporting.made_with import made_lines
from raycon.reporting.search import search_sections
from raycon.reporting.section import Section, files_of
from raycon.reporting.sweep_latex import sweep_tables
from raycon.reporting.tables import Row, objective_rows, run_rows, short_names, to_csv
from raycon.reuse import reused_line


def write_report(folder: Path, repeats: Sequence[Path] = (), pictures: Sequence[tuple[str, Path]] = ()) -> Path:
    """Writes `report/` of the sweep in `folder`, with its `repeats`: report.md, report.html, report.json, runs.csv, the
    numbers behind every picture as CSV, and the pictures; report.tex (`raycon.reporting.sweep_latex`) where a run has a
    result; also `pictures`, (title, PNG file) of its finalists.

    Test scores appear where `raycon.sealed.open_test_set` has put them into the log. Returns the path of report.md.
    Raises RayconError where the folder holds no sweep.
    """
    history = read_sweep(folder)
    repeated = [read_sweep(place) for place in repeats]
    sections = [*_overview(history), *search_sections(history, repeated), _runs(history)]
    sections += [_repeat_section(repetition) for repetition in repeated]
    sections += [Section(title, pictures={path.name: path.read_bytes()}) for title, path in pictures]
    facts = _facts(history)
    lines = [f"# {history.name}", "", *(f"- {fact}" for fact in facts), ""]
    files = files_of(sections)
    files["runs.csv"] = to_csv(run_rows(history)).encode()
    files["report.md"] = ("\n".join([*lines, *_joined(sections)]).rstrip() + "\n").encode()
    files["report.html"] = page(history.name, facts, sections).encode()
    files |= {"report.tex": tables.encode()} if (tables := sweep_tables(history, repeated)) else {}
    files["report.json"] = _json(history, facts, sections)
    target, disk = folder / "report", RealDisk()
    disk.makedirs(target)
    for name, content in files.items():
        write_durably(disk, target / name, content)
    return target / "report.md"


def _joined(sections: Sequence[Section]) -> list[str]:
    return [line for section in sections for line in section.markdown()]


def _json(history: SweepHistory, facts: Sequence[str], sections: Sequence[Section]) -> bytes:
    told = [
        {"title": part.title, "lines": list(part.lines), "rows": [_plain(row) for row in part.rows]}
        for part in sections
    ]
    whole = {"sweep": history.name, "identity": history.identity, "facts": list(facts), "sections": told}
    return (json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _plain(row: Row) -> Row:
    """Numbers that JSON has not are null."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _facts(history: SweepHistory) -> list[str]:
    """What a reader must know to trust the table."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(history.counts().items()))
    seeds = sorted({tuple(sorted(run.seeds.items())) for run in history.runs})
    told = "; ".join(" ".join(f"{name} {seed}" for name, seed in one) for one in seeds[:3])
    wanted = [f"maximise {name}" for name in history.maximize] + [f"minimise {name}" for name in history.minimize]
    best = None if len(wanted) != 1 else history.best()
    facts = [
        f"searched for: {', '.join(wanted)}, on the validation split; the test split took no part",
        f"runs: {counts}; attempts of the command: {len(history.attempts)}; interruptions survived: "
        f"{sum(len(run.losses) for run in history.runs)}",
        f"seeds of the selecting runs: {told}. A winner is the luckiest of its runs as well as the best: judge it by "
        "`raycon repeat`",
        *made_lines(history),
        f"identity: {history.identity[:16]}",
    ]
    if best is not None:
        facts.insert(0, f"best run: {best.number} (`{best.key}`), {best.metrics[_one(history)]:.4f}")
    return facts


def _one(history: SweepHistory) -> str:
    return (*history.maximize, *history.minimize)[0]


def _overview(history: SweepHistory) -> list[Section]:
    if not any(_one(history) in run.metrics for run in history.runs):
        return []
    return [Section("Objective by run and by knob", pictures={"sweep.png": sweep_figure(history)})]


def _runs(history: SweepHistory) -> Section:
    rows = objective_rows(history)
    names = short_names(list(dict.fromkeys(name for row in rows for name in row if "." in name)))
    return Section("Runs", rows=[{names.get(k, k): v for k, v in row.items()} for row in rows])


def _repeat_section(history: SweepHistory) -> Section:
    name, score = _folder_name(history), _one(history)
    differences = paired_differences(history, score)
    lines = ["Validation, paired over fresh seeds (each seeds the split, the weights and the order):"]
    lines += [f"- {difference.line}" for difference in differences]
    lines += [line] if (line := reused_line(history)) is not None else []
    if any(run.test for run in history.runs):
        lines += _test_lines(history, score)
    pictures = {f"{name}.png": repeat_figure(history, score, differences)}
    files = {f"{name}.csv": to_csv(run_rows(history)).encode()}
    return Section(f"Fresh seeds: {name}", lines, pictures=pictures, files=files)


def _folder_name(history: SweepHistory) -> str:
    return history.folder.name if history.folder is not None else history.name


def _test_lines(history: SweepHistory, score: str) -> list[str]:
    name = score.replace("validation/", "test/", 1)
    differences: list[Difference] = paired_differences(history, name, test=True)
    lines = [f"Test split, opened {history.openings} time(s), never used to choose: {name}"]
    return lines + [f"- {difference.line}" for difference in differences]
