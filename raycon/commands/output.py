"""What commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raycon.progress import SweepProgress
    from raycon.settings import Settings
    from raycon.space import Space


def print_lines(*lines: str) -> None:
    """Lines of a result."""
    for line in lines:
        print(line)


def print_aside(*lines: str) -> None:
    """Lines that are no result."""
    for line in lines:
        print(line, file=sys.stderr)


def json_line(row: Mapping[str, Any]) -> str:
    """One line of strict JSON: numbers that are not finite become null."""
    plain = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in row.items()}
    return json.dumps(plain, allow_nan=False)


def print_values(values: dict[str, Any], as_json: bool) -> None:
    """Named values: a line each, or one JSON object."""
    from raycon.reporting.tables import shown

    lines = [f"{name} = {shown(value)}" for name, value in values.items()]
    print_lines(json_line(values) if as_json else "\n".join(lines))


def progress_of(
    total: int,
    space: Space,
    settings: Settings,
    quiet: bool,
    as_json: bool,
    objectives: Sequence[str],
    at_once: int | None = None,
) -> SweepProgress:
    """The progress of `total` runs of a space, which are judged by `objectives`; at most `at_once` of them go on at a
    time, all of them where it is left out."""
    from raycon.metric_names import metric
    from raycon.progress import SweepProgress
    from raycon.space import first_trial

    directed = [(name, metric(name).direction == "higher") for name in objectives]
    slots = settings.slots or max((os.cpu_count() or 1) // space.sweep.workers, 1)
    epochs = first_trial(space).training.epochs
    return SweepProgress(total, epochs, directed, min(slots, at_once or total), json=as_json, quiet=quiet)
