"""The report of a sweep: a Markdown page, the runs as CSV, and pictures, from the event log alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycon.disk import RealDisk, write_durably
from raycon.history import SweepHistory, read_sweep
from raycon.repeats import Difference, paired_differences
from raycon.reporting.figures import front_figure, repeat_figure, sweep_figure
from raycon.reporting.tables import objective_rows, run_rows, short_names, to_csv, to_markdown


def write_report(folder: Path, repeats: Sequence[Path] = ()) -> Path:
    """Writes `report/report.md`, `report/runs.csv` and the pictures of the sweep in `folder`, with its `repeats`.

    Test scores appear where `raycon.sealed.open_test_set` has put them into the log. Returns the page's path.
    Raises RayconError where the folder holds no sweep.
    """
    history = read_sweep(folder)
    target = folder / "report"
    files: dict[str, bytes] = {"runs.csv": to_csv(run_rows(history)).encode()}
    lines = [f"# {history.name}", "", *_facts(history), ""]
    objectives = (*history.maximize, *history.minimize)
    if any(objectives[0] in run.metrics for run in history.runs):
        files["sweep.png"] = sweep_figure(history)
        lines += ["![objective by run and by knob](sweep.png)", ""]
    if len(objectives) > 1 and history.complete(*objectives):
        files["front.png"] = front_figure(history)
        numbers = ", ".join(str(run.number) for run in history.pareto_front())
        lines += [f"Pareto front (full-budget runs only): runs {numbers}.", "", "![Pareto front](front.png)", ""]
    rows = objective_rows(history)
    names = short_names(list(dict.fromkeys(name for row in rows for name in row if "." in name)))
    lines += ["## Runs", "", to_markdown([{names.get(k, k): v for k, v in row.items()} for row in rows])]
    for repeat in repeats:
        lines += _repeat_section(repeat, files)
    files["report.md"] = ("\n".join(lines).rstrip() + "\n").encode()
    disk = RealDisk()
    disk.makedirs(target)
    for name, content in files.items():
        write_durably(disk, target / name, content)
    return target / "report.md"


def _facts(history: SweepHistory) -> list[str]:
    """What a reader must know to trust the table."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(history.counts().items()))
    seeds = sorted({tuple(sorted(run.seeds.items())) for run in history.runs})
    told = "; ".join(" ".join(f"{name} {seed}" for name, seed in one) for one in seeds[:3])
    versions = history.attempts[-1].versions if history.attempts else {}
    wanted = [f"maximise {name}" for name in history.maximize] + [f"minimise {name}" for name in history.minimize]
    best = None if len(wanted) != 1 else history.best()
    facts = [
        f"- searched for: {', '.join(wanted)}, on the validation split; the test split took no part",
        f"- runs: {counts}; attempts of the command: {len(history.attempts)}; interruptions survived: "
        f"{sum(len(run.losses) for run in history.runs)}",
        f"- seeds of the selecting runs: {told}. A winner is the luckiest of its runs as well as the best: judge it by "
        "`raycon repeat`",
        f"- versions: {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}",
        f"- identity: {history.identity[:16]}",
    ]
    if best is not None:
        facts.insert(0, f"- best run: {best.number} (`{best.key}`), {best.metrics[_one(history)]:.4f}")
    return facts


def _one(history: SweepHistory) -> str:
    return (*history.maximize, *history.minimize)[0]


def _repeat_section(folder: Path, files: dict[str, bytes]) -> list[str]:
    history = read_sweep(folder)
    score = _one(history)
    differences = paired_differences(history, score)
    picture = f"{folder.name}.png"
    files[f"{folder.name}.csv"] = to_csv(run_rows(history)).encode()
    files[picture] = repeat_figure(history, score, differences)
    lines = [f"## Fresh seeds: {folder.name}", "", f"![paired seeds]({picture})", ""]
    lines += ["Validation, paired over fresh seeds (each seeds the split, the weights and the order):", ""]
    lines += [f"- {difference.line}" for difference in differences] + [""]
    if any(run.test for run in history.runs):
        lines += _test_lines(history, score)
    return lines


def _test_lines(history: SweepHistory, score: str) -> list[str]:
    name = score.replace("validation/", "test/", 1)
    differences: list[Difference] = paired_differences(history, name, test=True)
    lines = [f"Test split, opened {history.openings} time(s), never used to choose: {name}", ""]
    return lines + [f"- {difference.line}" for difference in differences] + [""]
