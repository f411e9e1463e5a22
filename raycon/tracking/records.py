"""What the tracker knows and writes: facts of a sweep, records of its runs, and changes as names, numbers and texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from raycon.tracking.redaction import redact

MAIN_SETTINGS = (
    *("data.dataset", "data.labels", "data.coarse", "data.bias.rate", "data.bias.place", "data.train_size"),
    *("encoder.name", "encoder.width", "encoder.depth", "encoder.projection"),
    *("training.epochs", "training.batch_size", "training.views", "training.optimiser", "training.learning_rate"),
    *("training.weight_decay", "training.schedule", "training.precision"),
)
METHOD_SECTIONS = ("objective", "transforms", "networks")
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000
_REFUSED_CHARACTERS = re.compile(r"[^\w\-. :/]")


@dataclass(frozen=True)
class Objective:
    """A score that a sweep searches by, and its direction."""

    name: str
    maximize: bool = True

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` beats `than`; anything beats None."""
        return than is None or (value > than if self.maximize else value < than)


@dataclass(frozen=True)
class SweepFacts:
    """What the tracker needs to know about a sweep besides its events. `log_paths` are the holes on a log scale."""

    name: str
    identity: str = ""
    objectives: tuple[Objective, ...] = ()
    log_paths: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)


def read_facts(folder: Path) -> SweepFacts:
    """The facts in `sweep.json` of a sweep's folder. What is missing there is left empty: no run is lost for it."""
    try:
        stored = json.loads((folder / "sweep.json").read_text())
    except (OSError, ValueError):
        stored = {}
    space: dict[str, Any] = next(
        (stored[name] for name in ("canonical", "space") if isinstance(stored.get(name), dict)), {}
    )
    search = space.get("sweep") or {}
    return SweepFacts(
        name=str(stored.get("name") or space.get("name") or folder.name),
        identity=str(stored.get("identity", "")),
        objectives=objectives_of(search),
        log_paths=frozenset(_log_paths(space.get("trial") or {})) | frozenset(_log_paths(space.get("holes") or {})),
        versions={name: str(value) for name, value in (stored.get("versions") or {}).items()},
        space=space,
    )


def objectives_of(search: Mapping[str, Any]) -> tuple[Objective, ...]:
    """From the lists `maximize` and `minimize` of a sweep."""
    up = [Objective(name) for name in search.get("maximize") or ()]
    return (*up, *(Objective(name, maximize=False) for name in search.get("minimize") or ()))


def _log_paths(tree: Any, path: str = "") -> list[str]:
    """Dotted paths of the holes that are drawn on a log scale. Options of a named choice share the choice's path."""
    if not isinstance(tree, dict):
        return []
    if "log_uniform" in tree or "log_integer" in tree or str(tree.get("kind", "")).startswith("log_"):
        return [path]
    found = []
    for name, branch in tree.items():
        if name == "choice" and isinstance(branch, dict):
            found += [nested for option in branch.values() for nested in _log_paths(option, path)]
        else:
            found += _log_paths(branch, f"{path}.{name}" if path else str(name))
    return found


@dataclass
class RunRecord:
    """One run as far as the log has told it. `history` maps a metric to its values by epoch; `final` holds the scores
    that the run ended with. Figures are drawn from this."""

    key: str
    number: int
    trial: dict[str, Any]
    values: dict[str, Any]
    seeds: dict[str, Any]
    created_ms: int
    objectives: tuple[Objective, ...] = ()
    state: str = "running"
    reason: str | None = None
    epoch: int = 0
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    losses: int = 0

    @property
    def terms(self) -> list[str]:
        """The functions of the objective, in its order."""
        return [str(knobs.get("term", name)) for name, knobs in (self.trial.get("objective") or {}).items()]

    def best(self, objective: Objective) -> tuple[int, float] | None:
        """(epoch, value) of the best value over the epochs, the earliest of equals; None where there is no value."""
        found: tuple[int, float] | None = None
        for epoch, value in sorted(self.history.get(objective.name, {}).items()):
            if objective.better(value, found[1] if found else None):
                found = epoch, value
        return found


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

    `finished` is set once, when the run's figure can be drawn.
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
    finished: RunRecord | None = None


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


def parameters(run: RunRecord, log_paths: frozenset[str] = frozenset()) -> dict[str, str]:
    """Flat parameters of a run by dotted path: its objective, transforms and networks, the main fixed settings, and
    every active hole; `a.log10_b` beside a hole `a.b` on a log scale, as the plots of trackers have linear axes."""
    plain = flatten(run.trial)
    chosen = {path: plain[path] for path in MAIN_SETTINGS if path in plain}
    chosen |= {path: value for path, value in plain.items() if path.split(".", 1)[0] in METHOD_SECTIONS}
    chosen |= flatten(run.values)
    for path in sorted(log_paths & chosen.keys()):
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
