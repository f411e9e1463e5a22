"""The scores of a frozen encoder: the catalogue of protocols, and how they are checked and run.

A protocol is a function. Its positional names are filled from a closed vocabulary (`raycon.scores.vocabulary`), one
with the default None may be absent; its keyword-only arguments are knobs with bounds in their types. It returns metrics
by their last name; `evaluate` puts `split/protocol/` before it. To add one: a file here, a line in `PROTOCOLS`, its
metrics in `raycon.metric_names` (in `raycon.scores.about`, too, where they are not about the label that `data.labels`
names), and a test with an independent oracle.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from raycon.config import Trial
from raycon.datasets.catalogue import DATASETS
from raycon.errors import InvalidFile, nearest
from raycon.scores.calibration import calibration
from raycon.scores.coarse_to_fine import coarse_to_fine
from raycon.scores.corruptions import corruptions
from raycon.scores.embedded import Embedded, NotFinite
from raycon.scores.estimated_groups import estimated_groups
from raycon.scores.few_shot import few_shot
from raycon.scores.fine_tune import fine_tune
from raycon.scores.further import Corrupted, FineTuned, Transferred
from raycon.scores.geometry import geometry
from raycon.scores.groups import groups
from raycon.scores.linear_probe import linear_probe
from raycon.scores.nearest_neighbours import nearest_neighbours
from raycon.scores.out_of_distribution import out_of_distribution
from raycon.scores.sgd_probe import sgd_probe
from raycon.scores.shots import shots
from raycon.scores.subgroup_ranking import subgroup_ranking
from raycon.scores.transfer import transfer
from raycon.scores.vocabulary import ABSENT, SCORE_VOCABULARY, fill_names, offered_names
from raycon.signatures import check_knobs, read_signature

__all__ = [
    "PROTOCOLS",
    "SCORE_VOCABULARY",
    "Corrupted",
    "Embedded",
    "FineTuned",
    "NotFinite",
    "Transferred",
    "evaluate",
    "validate_scores",
]

PROTOCOLS: dict[str, Callable[..., dict[str, float]]] = {
    "linear_probe": linear_probe,
    "nearest_neighbours": nearest_neighbours,
    "coarse_to_fine": coarse_to_fine,
    "groups": groups,
    "geometry": geometry,
    "shots": shots,
    "few_shot": few_shot,
    "calibration": calibration,
    "estimated_groups": estimated_groups,
    "subgroup_ranking": subgroup_ranking,
    "sgd_probe": sgd_probe,
    "corruptions": corruptions,
    "out_of_distribution": out_of_distribution,
    "transfer": transfer,
    "fine_tune": fine_tune,
}


class Described(Protocol):
    """What must be known about a data set before its images are read: its attributes and how many values each has."""

    @property
    def attributes(self) -> Mapping[str, int]: ...


@torch.no_grad()
def evaluate(
    trial: Trial, tables: Mapping[str, Embedded], split: str, further: Mapping[str, object] | None = None
) -> dict[str, float]:
    """Every protocol of `trial.scores` on the images of `split`, as `split/protocol/metric` -> value.

    tables: the embedded splits; `train`, on which probes are fitted and neighbours looked up, and `split` itself.
    further: values of the names in `raycon.scores.vocabulary.FURTHER` that protocols ask for. Each protocol sees the
    same probe where it asks for the same one. Nothing is modified, values are finite floats.

    Raises InvalidFile as `validate_scores` does, when a protocol is unknown or what it asks for is not there.
    """
    judged = tables[split]
    values = fill_names(tables["train"], judged, further or {})
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
        _check_dataset(trial, name)


def _check_dataset(trial: Trial, name: str) -> None:
    """A protocol that looks at another data set must name one that is known, and is another."""
    signature = read_signature(_protocol(name))
    if "dataset" not in signature.knobs:
        return
    dataset = trial.scores[name].get("dataset", signature.defaults["dataset"])
    field = f"scores.{name}.dataset"
    if dataset not in DATASETS:
        raise InvalidFile(f"no data set {dataset!r}{nearest(dataset, list(DATASETS))}", field=field)
    if dataset == trial.data.dataset:
        raise InvalidFile(f"{dataset} is the data set trained on; name another one", field=field)


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
