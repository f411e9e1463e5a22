"""The scores of a frozen encoder: the catalogue of protocols, and how they are checked and run.

A protocol is a function. Its positional names are filled from a closed vocabulary (`raycon.scores.vocabulary`), one
with the default None may be absent; its keyword-only arguments are knobs with bounds in their types. It returns metrics
by their last name; `evaluate` puts `split/protocol/` before it. To add one: a file here, a line in `PROTOCOLS`, its
metrics in `raycon.metric_names`, and a test with an independent oracle.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from raycon.config import Trial
from raycon.errors import InvalidFile, nearest
from raycon.scores.coarse_to_fine import coarse_to_fine
from raycon.scores.embedded import Embedded, NotFinite
from raycon.scores.geometry import geometry
from raycon.scores.groups import groups
from raycon.scores.linear_probe import linear_probe
from raycon.scores.nearest_neighbours import nearest_neighbours
from raycon.scores.vocabulary import ABSENT, SCORE_VOCABULARY, fill_names, offered_names
from raycon.signatures import check_knobs

__all__ = [
    "PROTOCOLS",
    "SCORE_VOCABULARY",
    "Embedded",
    "NotFinite",
    "evaluate",
    "validate_scores",
]

PROTOCOLS: dict[str, Callable[..., dict[str, float]]] = {
    "linear_probe": linear_probe,
    "nearest_neighbours": nearest_neighbours,
    "coarse_to_fine": coarse_to_fine,
    "groups": groups,
    "geometry": geometry,
}


class Described(Protocol):
    """What must be known about a data set before its images are read: its attributes and how many values each has."""

    @property
    def attributes(self) -> Mapping[str, int]: ...


@torch.no_grad()
def evaluate(trial: Trial, tables: Mapping[str, Embedded], split: str) -> dict[str, float]:
    """Every protocol of `trial.scores` on the images of `split`, as `split/protocol/metric` -> value.

    tables: the embedded splits; `train`, on which probes are fitted and neighbours looked up, and `split` itself. Each
    protocol sees the same probe where it asks for the same one. Nothing is modified, values are finite floats.

    Raises InvalidFile as `validate_scores` does, when a protocol is unknown or what it asks for is not there.
    """
    judged = tables[split]
    values = fill_names(tables["train"], judged)
    metrics: dict[str, float] = {}
    for name, knobs in trial.scores.items():
        function = _protocol(name)
        _check_names(name, function, set(values))
        arguments = [values.get(wanted) for wanted in _positional(function)]
        found = function(*arguments, **knobs)
        metrics.update({f"{split}/{name}/{metric}": value for metric, value in found.items()})
    return metrics


def validate_scores(trial: Trial, described: Described) -> None:
    """Refuses, before anything is trained, scores that could not be computed.

    Raises InvalidFile with a field below `scores`: unknown protocol or knob (with the nearest name), a knob out of
    bounds, or a protocol whose input the data does not offer (coarse classes, groups).
    """
    offered = offered_names(set(described.attributes), trial.data.groups)
    for name, knobs in trial.scores.items():
        _check_names(name, _protocol(name), offered)
        try:
            check_knobs(_protocol(name), knobs)
        except InvalidFile as error:
            raise InvalidFile(error.reason, field=f"scores.{name}.{error.field}") from None


def _protocol(name: str) -> Callable[..., dict[str, float]]:
    if name not in PROTOCOLS:
        raise InvalidFile(f"unknown protocol {name!r}{nearest(name, list(PROTOCOLS))}", field=f"scores.{name}")
    return PROTOCOLS[name]


def _positional(function: Callable[..., dict[str, float]]) -> dict[str, bool]:
    """The names a protocol asks for, in its order, and whether it needs them."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default is p.empty for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}


def _check_names(name: str, function: Callable[..., dict[str, float]], offered: set[str]) -> None:
    for wanted, needed in _positional(function).items():
        if needed and wanted not in offered:
            raise InvalidFile(f"{name} needs {ABSENT[wanted]}", field=f"scores.{name}")
