"""From plain values without holes to a complete `Trial`, in two phases.

`shape_trial` checks the shape alone and needs no torch. `complete_trial` asks the catalogue of terms, transforms,
networks and scores for the defaults of their knobs, and whether the whole can run.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from raycon.config import Encoder, Trial
from raycon.datasets.catalogue import describe
from raycon.errors import InvalidFile, nearest
from raycon.metric_names import METRICS, TRAINING_PROTOCOLS
from raycon.space.holes import meant_hole
from raycon.space.schema import build
from raycon.wording import shown

Plain = dict[str, Any]
METHODS = {
    "objective": "complete_term",
    "transforms": "complete_transform",
    "networks": "complete_network",
    "scores": "complete_score",
}
SCORED = tuple(dict.fromkeys(name.split("/")[0] for name in METRICS if name.split("/")[0] not in TRAINING_PROTOCOLS))
"""The protocols, as the table of metrics has them: known without torch."""
CONVNET_ALONE = ("width", "depth")
"""The fields of an encoder that no other than the default one, `convnet`, looks at."""


class Catalogue(Protocol):
    """What is asked of `raycon.objective`. `complete_*` fill one entry; each raises InvalidFile, with a field relative
    to the entry; `check_trial` raises it with a dotted path."""

    def complete_term(self, name: str, entry: Mapping[str, Any]) -> Plain: ...
    def complete_transform(self, name: str, entry: Mapping[str, Any]) -> Plain: ...
    def complete_network(self, name: str, entry: Mapping[str, Any]) -> Plain: ...
    def complete_score(self, name: str, entry: Mapping[str, Any]) -> Plain: ...
    def check_trial(self, trial: Trial) -> object: ...


def default_catalogue() -> Catalogue:
    """`raycon.objective`, imported only now, because it loads torch."""
    return cast(Catalogue, importlib.import_module("raycon.objective"))


def shape_trial(plain: Mapping[str, Any]) -> Trial:
    """The trial with the knobs of its entries as they are written. Raises InvalidFile with a dotted field."""
    trial = build(Trial, plain)
    describe(trial.data)
    if not trial.objective:
        raise InvalidFile("needs at least one term", field="objective")
    for name, entry in trial.objective.items():
        _check_reserved(f"objective.{name}", entry)
    for field, (low, high) in (("scale", trial.augmentation.scale), ("contrast", trial.augmentation.contrast)):
        if low > high:
            raise InvalidFile(f"low ({low}) is above high ({high})", field=f"augmentation.{field}")
    for name in trial.scores:
        if name not in SCORED:
            hint = nearest(name, SCORED)
            raise InvalidFile(f"unknown protocol {name!r}{hint}; known: {', '.join(SCORED)}", field=f"scores.{name}")
    return trial


def check_encoder(plain: Mapping[str, Any]) -> None:
    """Refuses what a file writes for an encoder that has no use for it. plain: the trial as written, without defaults.

    Raises InvalidFile with a dotted field.
    """
    encoder = plain.get("encoder")
    name = encoder.get("name", Encoder.name) if isinstance(encoder, Mapping) else Encoder.name
    if name == Encoder.name or not isinstance(encoder, Mapping):
        return
    for knob in CONVNET_ALONE:
        if knob in encoder:
            reason = f"{name} has no {knob}, only {Encoder.name} has: leave it out"
            hint = f" (where encoder.name is searched, write it with 'when: {{encoder.name: {Encoder.name}}}')"
            raise InvalidFile(reason + hint, field=f"encoder.{knob}")


def _check_reserved(path: str, entry: Mapping[str, Any]) -> None:
    """The words that every term has: `term`, `weight` and `inputs`."""
    term, weight, inputs = entry.get("term", ""), entry.get("weight", 1.0), entry.get("inputs", {})
    if not isinstance(term, str):
        raise InvalidFile(f"should be the name of a term, not {shown(term)}", field=f"{path}.term")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InvalidFile(f"should be a number, not {shown(weight)}{meant_hole(weight)}", field=f"{path}.weight")
    if not 0 <= weight < float("inf"):
        raise InvalidFile(f"should be at least 0, not {shown(weight)}", field=f"{path}.weight")
    if not isinstance(inputs, dict) or not all(isinstance(name, str) for name in inputs.values()):
        raise InvalidFile("should map a parameter to the name of a tensor", field=f"{path}.inputs")


def complete_trial(trial: Trial, catalogue: Catalogue | None = None) -> Trial:
    """The trial with every knob filled in, checked as a whole. Raises InvalidFile with a dotted field."""
    catalogue = catalogue or default_catalogue()
    sections: dict[str, Any] = {}
    for section, method in METHODS.items():
        complete = getattr(catalogue, method)
        sections[section] = {}
        for name, entry in getattr(trial, section).items():
            try:
                sections[section][name] = complete(name, entry)
            except InvalidFile as error:
                reason = error.reason + meant_hole(entry.get(error.field))
                raise InvalidFile(reason, field=".".join(filter(None, (section, name, error.field)))) from None
    trial = dataclasses.replace(trial, **sections)
    catalogue.check_trial(trial)
    return trial


def trial_to_plain(trial: Trial) -> Plain:
    """The trial as dicts, lists and scalars that JSON holds exactly: tuples are lists, the keys of maps are text."""
    return cast(Plain, plain_of(trial))


def plain_of(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists and keys as text, all the way down."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_of(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain_of(child) for child in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def named_scores(trial: Mapping[Any, Any]) -> dict[Any, Any]:
    """`trial` with `scores: [a, b]` written as `scores: {a: {}, b: {}}`, and with every entry a mapping."""
    scores = trial.get("scores")
    if isinstance(scores, list):
        for index, name in enumerate(scores):
            if not isinstance(name, str):
                raise InvalidFile(f"should be the name of a score, not {shown(name)}", field=f"scores.{index}")
            if name in scores[:index]:
                raise InvalidFile(f"{shown(name)} stands twice", field=f"scores.{index}")
        scores = {name: {} for name in scores}
    if isinstance(scores, Mapping):
        return {**trial, "scores": {name: {} if entry is None else entry for name, entry in scores.items()}}
    return dict(trial)
