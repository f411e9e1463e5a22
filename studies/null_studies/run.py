"""How often does a study find what is not there? Two equal arms, 200 times, through search, fresh seeds and report.

    python studies/null_studies/run.py --studies 200 --processes 2

Each study is `raycon.sweep` over both arms, `raycon.repeat` of its winner against the other on fresh seeds, and
`raycon.report`, whose verdict is read from the page. What was found goes to `studies.csv` and `result.json` beside this
file. Studies that stand in the table already are not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from arms import train_arm

import raycon
from raycon.api import Settings
from raycon.statistics import clopper_pearson, judge
from raycon.versions import installed_versions

HERE = Path(__file__).parent
SEEDS = 5
MARGIN = 0.01
VERDICT = re.compile(r"95 % interval \[.*?\] \((.*?)\)")


@dataclass(frozen=True)
class Study:
    """What one study said. selected: by how much the winner won on the seed that chose it. fresh: on fresh seeds."""

    number: int
    winner: float
    selected: float
    fresh: float
    low: float
    high: float
    verdict: str
    claim: str


def run_study(number: int) -> Study:
    """Search, fresh seeds, report. Every study has seeds of its own: one that chooses, and five that judge."""
    torch.set_num_threads(1)
    chooses = 1000 * number
    overrides = [f"seeds.{name}={chooses}" for name in ("split", "init", "order")]
    space = raycon.load(HERE / "null_studies.yaml", overrides)
    with tempfile.TemporaryDirectory() as out:
        settings = Settings(out=Path(out), tracking="off", here=True)
        found = raycon.sweep(space, train=train_arm, settings=settings)
        scores = {
            run.values["training.gradient_clip"]: run.metrics[space.sweep.maximize[0]] for run in found.history.runs
        }
        best = found.best()
        winner = best.values["training.gradient_clip"]
        (other,) = scores.keys() - {winner}
        judges = range(chooses + 1, chooses + 1 + SEEDS)
        repeats = raycon.repeat(best, seeds=judges, against={"other": {"training.gradient_clip": other}})
        (verdict,) = VERDICT.findall(raycon.report(found.folder.name, settings=settings).read_text())
        (difference,) = repeats.differences()
    claim = judge(difference.differences, sign="positive", margin=MARGIN).verdict
    interval = difference.interval
    assert interval is not None
    gain = scores[winner] - scores[other]
    return Study(number, winner, gain, interval.mean, interval.low, interval.high, verdict, claim)


def finished(table: Path) -> list[Study]:
    """The studies of an earlier call."""
    if not table.is_file():
        return []
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {field.name: {"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Study)}
    return [Study(**{name: kinds[name](value) for name, value in row.items()}) for row in rows]


def run_missing(table: Path, studies: int, processes: int) -> Iterator[Study]:
    """Runs the studies that the table lacks, and adds each to it when it is done."""
    done = {study.number for study in finished(table)}
    missing = [number for number in range(1, studies + 1) if number not in done]
    with multiprocessing.get_context("spawn").Pool(processes) as pool, table.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Study)])
        if not done:
            writer.writeheader()
        for study in pool.imap_unordered(run_study, missing):
            writer.writerow(asdict(study))
            file.flush()
            yield study


def rate(count: int, of: int) -> dict[str, float]:
    """A share with its exact 95 % interval and one-sided 95 % upper bound (Clopper and Pearson)."""
    low, high = clopper_pearson(count, of)
    return {"count": count, "of": of, "share": count / of, "low": low, "high": high}


def summary(studies: list[Study]) -> dict[str, object]:
    """What the table comes to."""
    n = len(studies)
    return {
        "shown": rate(sum(study.verdict == "shown" for study in studies), n),
        "shown_to_be_worse": rate(sum(study.verdict == "shown to be worse" for study in studies), n),
        "claim_shown": rate(sum(study.claim == "shown" for study in studies), n),
        "claim_equivalent": rate(sum(study.claim == "equivalent" for study in studies), n),
        "interval_covers_zero": rate(sum(study.low <= 0 <= study.high for study in studies), n),
        "mean_gain_on_the_seed_that_chose": sum(study.selected for study in studies) / n,
        "mean_gain_on_fresh_seeds": sum(study.fresh for study in studies) / n,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--to", type=Path, default=HERE, help="folder of studies.csv and result.json")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    table = asked.to / "studies.csv"
    for study in run_missing(table, asked.studies, asked.processes):
        print(
            f"study {study.number}: {study.fresh:+.4f} [{study.low:+.4f}, {study.high:+.4f}] {study.verdict}",
            flush=True,
        )
    studies = sorted(finished(table), key=lambda study: study.number)[: asked.studies]
    result = {
        "command": f"python studies/null_studies/run.py --studies {asked.studies}",
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": installed_versions(),
        **summary(studies),
    }
    (asked.to / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    json.dump(result, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
