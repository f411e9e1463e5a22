"""The runs of a sweep as rows, and rows as CSV and Markdown. Deterministic: the same log gives the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from raycon.history import RunRecord, SweepHistory

Row = dict[str, Any]


def run_rows(history: SweepHistory) -> list[Row]:
    """One row a run, in number order: number, key, state, epochs, seconds, seeds, active values, final metrics."""
    return [_row(run) for run in history.runs]


def _row(run: RunRecord) -> Row:
    seconds = run.ended_at - run.started_at if run.ended_at and run.started_at else None
    row: Row = {"number": run.number, "key": run.key, "state": run.state, "epochs": run.last_epoch}
    row |= {"seconds": None if seconds is None else round(seconds, 2), "interruptions": len(run.losses)}
    row |= {f"seeds.{name}": seed for name, seed in sorted(run.seeds.items())}
    return row | run.values | dict(sorted(run.metrics.items())) | dict(sorted(run.test.items()))


def objective_rows(history: SweepHistory) -> list[Row]:
    """The rows that people look at: number, state, objectives, active values. Best first, without a result last."""
    objectives = (*history.maximize, *history.minimize)
    sign = -1.0 if history.maximize else 1.0
    first = objectives[0] if objectives else None

    def rank(run: RunRecord) -> tuple[bool, float, int]:
        value = run.metrics.get(first, float("nan")) if first else float("nan")
        return (run.state != "complete" or value != value, sign * value if value == value else 0.0, run.number)

    names = list(dict.fromkeys(name for run in history.runs for name in run.values))
    rows = []
    for run in sorted(history.runs, key=rank):
        row: Row = {"run": run.number, "state": run.state}
        row |= {name: run.metrics.get(name) for name in objectives}
        rows.append(row | {name: run.values.get(name) for name in names})
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    """All columns that any row has, in order of first appearance; a missing value is an empty cell."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row.get(name) for name in columns} for row in rows)
    return stream.getvalue()


def to_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table; numbers with four significant digits, missing values as a dash."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(shown(row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")


def short_names(names: Sequence[str]) -> Mapping[str, str]:
    """The shortest endings of dotted paths that still tell them apart: `objective.supcon.weight` -> `supcon.weight`.

    Two parts at least, as `use` or `weight` alone would not say of what.
    """
    found: dict[str, str] = {}
    for name in names:
        parts = name.split(".")
        for length in range(min(2, len(parts)), len(parts) + 1):
            short = ".".join(parts[-length:])
            if sum(other == short or other.endswith("." + short) for other in names) == 1:
                break
        found[name] = short
    return found
