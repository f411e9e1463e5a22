"""What the tracker writes: changes of runs as names, numbers and texts, in the forms that MLflow accepts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from raycon.history import RunRecord, SweepHistory
from raycon.tracking.redaction import redact

MAIN_SETTINGS = (
    *("data.dataset", "data.labels", "data.coarse", "data.bias.rate", "data.bias.place", "data.train_size"),
    *("data.long_tail.kind", "data.long_tail.imbalance"),
    *("encoder.name", "encoder.width", "encoder.depth", "encoder.projection"),
    *("training.epochs", "training.batch_size", "training.views", "training.optimiser", "training.learning_rate"),
    *("training.weight_decay", "training.schedule", "training.precision"),
)
METHOD_SECTIONS = ("objective", "transforms", "networks")
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000
_REFUSED_CHARACTERS = re.compile(r"[^\w\-. :/]")


@dataclass(frozen=True)
class Point:
    """One value of a metric; `time_ms` is the time of the event that brought it, never the time of sending."""

    name: str
    value: float
    time_ms: int
    step: int


@dataclass
class Change:
    """What is to be written about one run (or about the sweep, whose key is the empty string).

    `picture` is the record to draw a figure of: a run that has just ended, or the sweep when its driver ends.
    """

    key: str
    title: str
    created_ms: int
    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, str | bytes] = field(default_factory=dict)
    dataset: str | None = None
    status: str | None = None
    ended_ms: int | None = None
    picture: RunRecord | SweepHistory | None = None


class Batch:
    """Changes by run, in the order in which the runs were first touched; the sweep itself always comes first."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}
        self.values, self.urgent = 0, False

    def of(self, key: str, title: str, created_ms: int) -> Change:
        """The change of a run, made on first use."""
        return self.changes.setdefault(key, Change(key, title, created_ms))

    def ordered(self) -> list[Change]:
        """All changes, the sweep's own first, so that parents exist before their children."""
        return sorted(self.changes.values(), key=lambda change: change.key != "")


def parameters(run: RunRecord, logarithmic: frozenset[str] = frozenset()) -> dict[str, str]:
    """Flat parameters of a run by dotted path: its objective, transforms and networks, the main fixed settings, and
    every active hole; `a.log10_b` beside a hole `a.b` on a log scale, as the plots of trackers have linear axes."""
    plain = flatten(run.trial)
    chosen = {path: plain[path] for path in MAIN_SETTINGS if path in plain}
    chosen |= {path: value for path, value in plain.items() if path.split(".", 1)[0] in METHOD_SECTIONS}
    chosen |= flatten(run.values)
    for path in sorted(logarithmic & chosen.keys()):
        value = chosen[path]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            parent, _, knob = path.rpartition(".")
            chosen[f"{parent}.log10_{knob}" if parent else f"log10_{knob}"] = round(math.log10(value), 6)
    return {
        metric_name(path): _cut(_text(redact(value, path)), LONGEST_PARAM)
        for path, value in chosen.items()
        if value is not None
    }


def flatten(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} as {'a.b': 1}. Empty mappings vanish, lists stay values."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        nested = f"{path}.{name}" if path else str(name)
        flat |= flatten(value, nested) if isinstance(value, Mapping) else {nested: value}
    return flat


def metric_name(name: str) -> str:
    """A name that MLflow accepts: refused characters become `_`, empty or relative parts vanish, 250 at most."""
    parts = [part for part in _REFUSED_CHARACTERS.sub("_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:LONGEST_NAME]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def as_yaml(tree: Mapping[str, Any]) -> str:
    """A plain tree as YAML, in its own order and without secrets."""
    return yaml.safe_dump(redact(dict(tree)), sort_keys=False, allow_unicode=True)
