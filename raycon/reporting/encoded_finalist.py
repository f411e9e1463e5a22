"""What pictures of a finalist are made from: its final weights' embeddings, and what a linear probe makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.datasets.card import group_names, value_names
from raycon.errors import Refused
from raycon.evaluation import embed_table
from raycon.history import RunRecord
from raycon.networks.auxiliary import Auxiliary
from raycon.own_code import activate, kept_code
from raycon.reporting.collapse_picture import PREFIX
from raycon.scores import Embedded, evaluate
from raycon.scores.probe import fit_probe
from raycon.sealed import final_checkpoint
from raycon.space import trial_from
from raycon.state import State


@dataclass(frozen=True)
class EncodedFinalist:
    """One run as its pictures see it. judged: the embedded split `split`. predicted: attribute -> the probe's answer
    for each image of `judged`. untrained, final: the measures of collapse on the validation split, before and after
    training; no final ones where these are in the log."""

    trial: Trial
    split: str
    judged: Embedded
    predicted: Mapping[str, NDArray[np.int64]]
    untrained: Mapping[str, float]
    final: Mapping[str, float]

    def names(self, attribute: str) -> list[str]:
        """The names of an attribute's values, or their numbers."""
        found = value_names(self.trial.data).get(attribute)
        return list(found) if found else [f"{attribute} {number}" for number in range(self.judged.sizes[attribute])]

    def values(self, attribute: str) -> NDArray[np.int64]:
        """An attribute of the judged images."""
        return np.asarray(self.judged.attributes[attribute])

    @property
    def group_names(self) -> list[str]:
        """The names of the groups, in the order of their numbers."""
        data = self.trial.data
        return group_names(self.judged.sizes, data.groups, value_names(data))


Levels = dict[str, dict[str, float]]
"""The measures of collapse of untrained weights, by a hash of these and of the images."""


def encode_finalist(run: RunRecord, folder: Path, levels: Levels) -> EncodedFinalist:
    """Embeds the images with the final weights of `run`, whose log lies in `folder`, and fits the probes.

    On the validation split; on the test split where `raycon.sealed.open_test_set` has scored this very run on it, which
    the log says. `levels` is looked up and filled, as runs often begin from the same weights. Raises Refused for
    weights that are gone, or of an own loop; RayconError for data that are missing.
    """
    checkpoint = final_checkpoint(run, folder)
    code = kept_code(folder)
    if code.loop is not None:
        raise Refused("the run is of a loop of your own, whose weights raycon cannot read")
    activate(code)
    trial, device = trial_from(run.trial), "cuda:0" if torch.cuda.is_available() else "cpu"
    state = State(trial, device)
    split = "test" if run.test else "validation"
    tables = load_tables(trial.data, split_seed=trial.seeds.split, splits=("train", "validation"))
    start = _start(state)
    if start not in levels:
        levels[start] = _measures(trial, embed_table(state.step, trial, tables["validation"], device))
    state.load(checkpoint)
    if run.test:
        tables |= load_tables(trial.data, split_seed=trial.seeds.split, splits=("test",))
    embedded = {name: embed_table(state.step, trial, tables[name], device) for name in {"train", "validation", split}}
    known = set(levels[start]) <= set(run.metrics)
    return encoded(trial, embedded, split, levels[start], {} if known else _measures(trial, embedded["validation"]))


def encoded(
    trial: Trial,
    embedded: Mapping[str, Embedded],
    split: str,
    untrained: Mapping[str, float],
    final: Mapping[str, float],
) -> EncodedFinalist:
    """The same from embeddings, those of `train` and of `split`, and from the measures."""
    train, judged = embedded["train"], embedded[split]
    predicted = {}
    for attribute in dict.fromkeys((trial.data.labels, "class")):
        probe = fit_probe(train.embeddings, train.attributes[attribute], **probe_knobs(trial, attribute))
        predicted[attribute] = np.asarray(probe.predict(judged.embeddings))
    return EncodedFinalist(trial, split, judged, predicted, untrained, final)


def probe_knobs(trial: Trial, attribute: str) -> dict[str, Any]:
    """The knobs of the probe on an attribute: those of the protocol that scored the run by it, else the defaults."""
    protocols = ("linear_probe", "groups") if attribute == trial.data.labels else ("coarse_to_fine",)
    found = next((trial.scores[name] for name in protocols if name in trial.scores), {})
    return {name: found[name] for name in ("iterations", "l2") if name in found}


def _start(state: State) -> str:
    """A hash of all that the measures of untrained weights depend on."""
    trial, step = state.trial, state.step
    parts = [step.encoder, step.head, *step.auxiliaries.values()]
    judged = [part for part in parts if not isinstance(part, Auxiliary) or _adds_embeddings(part)]
    whole = hashlib.sha256(repr((trial.data, trial.seeds.split, trial.scores.get("geometry"))).encode())
    for part in judged:
        for value in part.state_dict().values():
            whole.update(value.cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def _adds_embeddings(network: Auxiliary) -> bool:
    return type(network).further_embeddings is not Auxiliary.further_embeddings


def _measures(trial: Trial, embedded: Embedded) -> dict[str, float]:
    """The protocol `geometry`, with the knobs of the run where it has it."""
    wanted = replace(trial, scores={"geometry": trial.scores.get("geometry", {})})
    split = PREFIX.split("/", 1)[0]
    return evaluate(wanted, {"train": embedded, split: embedded}, split)
