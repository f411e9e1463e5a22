"""All protocols over one frozen encoder, of whatever origin: encoded once, remembered, and proved unchanged."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raycon.config import Data, Seeds, Trial
from raycon.datasets import ImageTable, describe, load_tables
from raycon.disk import RealDisk, write_durably
from raycon.encoder_sources import Found, check_sizes, from_checkpoint, is_named, named
from raycon.errors import InvalidFile, MissingData
from raycon.eval_request import check_request, is_file, named_protocols
from raycon.evaluation import Judged, embed_images, score_encoder
from raycon.feature_cache import FeatureCache, fingerprint
from raycon.metric_names import metric
from raycon.networks.named import Normalisation
from raycon.own_code import NO_CODE, OwnCode
from raycon.scores import PROTOCOLS, validate_scores
from raycon.scores.about import CLASSES, COARSE, LABELS, OTHER, Guess, chance_of, guess_of, subject_of
from raycon.sealed import open_for_one
from raycon.signatures import check_knobs
from raycon.space import first_trial, trial_from, trial_to_plain
from raycon.space import load as load_space
from raycon.space.overrides import apply_overrides
from raycon.space.strict_yaml import Document
from raycon.statistics import clopper_pearson, mean_share_interval
from raycon.versions import installed_versions


@dataclass(frozen=True)
class Evaluation:
    """What a pass found. metrics: `split/protocol/metric` -> value. left_out: protocol -> why it has none. images:
    how many were judged. trained_on: how many training images probes had. opened: how often the test set of the run's
    sweep has been opened, this time included; None where none was. guesses: what is known of each label that scores
    are about (`raycon.scores.about`). grouped: attributes of `data.groups`, with their numbers of values. aligned:
    images judged whose bias agrees; None without a bias. features: `split.embeddings`, `split.features` and
    `split.<attribute>`."""

    encoder: str
    fingerprint: str
    preprocessing: str
    data: dict[str, Any]
    split: str
    images: int
    trained_on: int
    metrics: dict[str, float]
    left_out: dict[str, str]
    knobs: dict[str, dict[str, Any]]
    seconds: float
    encoded: int
    remembered: int
    opened: int | None = None
    guesses: dict[str, dict[str, Any]] = field(default_factory=dict)
    grouped: dict[str, int] = field(default_factory=dict)
    aligned: int | None = None
    features: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def rows(self) -> list[dict[str, Any]]:
        """A row a number: the label that it is about, its 95 % interval and what that is over, where there is one, and
        the level of chance. Bounds and sizes of groups stand in the row of the group's accuracy."""
        found = []
        guesses = {subject: Guess(**facts) for subject, facts in self.guesses.items()}
        for name, value in self.metrics.items():
            prefix, last = name.rsplit("/", 1)
            if last.endswith(("_low", "_high", "_size")) and f"{prefix}/{_of(last)}" in self.metrics:
                continue
            if last.startswith("half_width_"):
                continue
            low, high, n, over = self._interval(name, value)
            known = metric(name)
            row = {"metric": name, "label": self._label(name), "value": value, "low": low, "high": high, "n": n}
            row |= {"over": over, "chance": chance_of(name, guesses)}
            found.append(row | {"unit": known.unit, "better": known.direction})
        return found

    def _label(self, name: str) -> str | None:
        """Which label a score is about, in words; a group by the values of its attributes."""
        subject = subject_of(name)
        if subject is None:
            return None
        _, protocol, last = name.split("/")
        label = self.guesses[subject]["attribute"]
        if protocol == "subgroup_ranking":
            label = f"{label} {self.knobs[protocol]['positive']}"
        number = re.fullmatch(r"group_(\d+)_\w+", last)
        if number is not None:
            return f"{label} in {self._group(int(number[1]))}"
        return f"{label} by {' x '.join(self.grouped)}" if protocol == "groups" else label

    def _group(self, number: int) -> str:
        """The values of a group's attributes, of which the last varies fastest."""
        told: list[str] = []
        for name, size in reversed(self.grouped.items()):
            number, value = divmod(number, size)
            told.insert(0, f"{name} {value}")
        return ", ".join(told)

    def _interval(self, name: str, value: float) -> tuple[float | None, float | None, int | None, str | None]:
        prefix, last = name.rsplit("/", 1)
        counted = self._counted(name)
        if counted:
            return *clopper_pearson(round(value * counted), counted), counted, "images"
        if name.endswith("groups/unbiased_accuracy"):
            groups = [one for one in self.metrics if re.fullmatch(rf"{prefix}/group_\d+_accuracy", one)]
            sizes = [int(self.metrics[one.removesuffix("accuracy") + "size"]) for one in groups]
            right = [round(self.metrics[one] * size) for one, size in zip(groups, sizes, strict=True)]
            return *mean_share_interval(right, sizes), self.images, "images"
        stem = f"{prefix}/{last.removesuffix('accuracy')}"
        if last.endswith("accuracy") and f"{stem}low" in self.metrics:
            size = self.metrics.get(f"{stem}size")
            return (
                self.metrics[f"{stem}low"],
                self.metrics[f"{stem}high"],
                None if size is None else int(size),
                "images",
            )
        half = self.metrics.get(f"{prefix}/{last.replace('accuracy_', 'half_width_')}")
        if last.startswith("accuracy_") and half is not None:
            return value - half, value + half, int(self.knobs["few_shot"]["episodes"]), "episodes"
        return None, None, None, None

    def _counted(self, name: str) -> int | None:
        """How many images a score is a share of, each counted once; None where it is no such share."""
        rest = name.split("/", 1)[1]
        if metric(name).counted:
            return self.images
        if self.aligned is not None and rest in ("groups/aligned_accuracy", "groups/conflicting_accuracy"):
            return self.aligned if rest == "groups/aligned_accuracy" else self.images - self.aligned
        if rest == "corruptions/clean_accuracy":
            return min(int(self.knobs["corruptions"]["images"]), self.images)
        return None

    def plain(self) -> dict[str, Any]:
        """Everything but the features, as JSON can hold it."""
        facts = {name: value for name, value in self.__dict__.items() if name != "features"}
        return facts | {"rows": self.rows(), "versions": installed_versions()}

    def write(self, folder: Path, *, features: bool = False) -> list[Path]:
        """Writes `scores.json` and `scores.csv`, and with `features` also `features.safetensors`, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        contents = {
            "scores.json": (json.dumps(self.plain(), indent=1, allow_nan=False) + "\n").encode(),
            "scores.csv": table.getvalue().encode(),
        }
        if features:
            from safetensors.torch import save

            contents["features.safetensors"] = save({name: value.contiguous() for name, value in self.features.items()})
        for name, content in contents.items():
            write_durably(RealDisk(), folder / name, content)
        return [folder / name for name in contents]


def _of(last: str) -> str:
    return f"{last.rsplit('_', 1)[0]}_accuracy"


def _found(
    encoder: str,
    described: Trial | None,
    by_name: tuple[str, int | None, Normalisation | None],
    code: OwnCode,
    device: str,
) -> Found:
    """The encoder of a folder, or by name with its weights, size and normalisation."""
    if is_named(encoder):
        if described is None:
            raise InvalidFile("is needed: the data that an encoder by name is judged on", field="--data")
        return named(encoder, *by_name, device)
    if by_name != ("none", None, None):
        raise InvalidFile("--weights, --size and --normalise are of encoders by name", field="CHECKPOINT")
    return from_checkpoint(Path(encoder), described, code, device)


def evaluate(
    encoder: str | Path,
    *,
    protocols: str | Sequence[str] = "all",
    data: str | None = None,
    split: str = "validation",
    overrides: Sequence[str] = (),
    weights: str = "none",
    size: int | None = None,
    normalisation: Normalisation | None = None,
    code: OwnCode = NO_CODE,
    device: str | None = None,
    cache: bool = True,
) -> Evaluation:
    """Scores a frozen encoder by all protocols, or some.

    encoder: a run's folder or a checkpoint of raycon, `torchvision:NAME` or `timm:NAME`. protocols: `all`, which leaves
    out what the data do not offer and says why, or names, of which each must be possible. data: a search-space file or
    the name of a data set; by default what the run was trained on. Knobs of protocols are those of the run or file
    where it names them, else the defaults. overrides: `data.x=...` and `scores.protocol.knob=...`. weights, size,
    normalisation: of an encoder by name (`raycon.networks.named.named_encoder`). cache: keep embeddings on disk, and
    use those that are there (`raycon.feature_cache`).

    The test split is opened for `split="test"` alone: for a run of a repetition or study, once that is finished, and
    its log counts it; never for a run of a search. Raises InvalidFile for what does not fit, MissingData for what is
    not there, Refused for a closed test set, RuntimeError if the encoder were changed.
    """
    started = time.process_time()
    check_request(str(encoder), protocols, data, split, overrides)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    described = None if data is None else _described(data)
    found = _found(str(encoder), described, (weights, size, normalisation), code, device)
    trial = _judged_by(described or found.trial, overrides)
    check_sizes(found, trial)
    trial, left_out = _chosen(trial, protocols, split)
    opened = None
    if split == "test" and found.sweep is not None and found.key is not None and found.checkpoint is not None:
        opened = open_for_one(found.sweep, found.key, found.checkpoint)
    tables = load_tables(trial.data, split_seed=trial.seeds.split, splits=("train", split))
    made = _Pass(found, device, cache)
    metrics = made.scores(trial, tables, split)
    return Evaluation(
        encoder=found.name,
        fingerprint=made.before,
        preprocessing=found.preprocessing,
        data=trial_to_plain(trial)["data"],
        split=split,
        images=len(tables[split]),
        trained_on=len(tables["train"]),
        metrics=metrics,
        left_out=left_out,
        knobs={name: check_knobs(PROTOCOLS[name], knobs) for name, knobs in trial.scores.items()},
        seconds=time.process_time() - started,
        encoded=made.cache.made,
        remembered=made.cache.found,
        opened=opened,
        **_labels_of(trial, tables["train"], tables[split]),
        features=made.held,
    )


class _Pass:
    """One encoder, hashed before and after."""

    def __init__(self, found: Found, device: str, keep: bool):
        self.model, self.device, self.keep = found.model, device, keep
        self.before = fingerprint(self.model)
        kind = torch.device(device).type
        self.cache = FeatureCache(f"{self.before} {found.preprocessing} {kind}")
        self.tables: Mapping[str, ImageTable] = {}
        self.held: dict[str, Tensor] = {}

    def scores(self, trial: Trial, tables: Mapping[str, ImageTable], split: str) -> dict[str, float]:
        modes = _modes(self.model)
        self.tables = tables
        metrics = score_encoder(self.model, trial, tables, split, self.device, self.encode)
        if fingerprint(self.model) != self.before or _modes(self.model) != modes:
            raise RuntimeError("an evaluation changed the encoder")
        return metrics

    def encode(self, table: ImageTable) -> tuple[Tensor, Tensor]:
        """The embeddings and features of a table; those of the splits are held, too."""
        if self.keep:
            made = self.cache.encode(table, lambda images: embed_images(self.model, images, self.device))
        else:
            self.cache.made += 1
            made = embed_images(self.model, table, self.device)
        for name, one in self.tables.items():
            if one is table:
                self.held |= {f"{name}.embeddings": made[0], f"{name}.features": made[1]}
                self.held |= {f"{name}.{attribute}": values for attribute, values in table.attributes.items()}
        return made


def _modes(model: Judged) -> list[bool]:
    return [part.training for part in model.modules()]


def _labels_of(trial: Trial, train: ImageTable, judged: ImageTable) -> dict[str, Any]:
    """What an `Evaluation` knows of the labels that its scores are about."""
    aligned = judged.attributes.get("aligned")
    return {
        "guesses": {subject: asdict(guess) for subject, guess in _guesses(trial, train, judged).items()},
        "grouped": {name: judged.sizes[name] for name in trial.data.groups},
        "aligned": None if aligned is None else int((aligned == 1).sum()),
    }


def _guesses(trial: Trial, train: ImageTable, judged: ImageTable) -> dict[str, Guess]:
    """What is known of each label that a score of these protocols may be about."""
    attributes = {LABELS: trial.data.labels, CLASSES: "class", COARSE: "coarse"}
    found = {
        subject: guess_of(attribute, train.attributes[attribute], judged.attributes[attribute])
        for subject, attribute in attributes.items()
        if attribute in train.attributes
    }
    if "transfer" in trial.scores:
        dataset = check_knobs(PROTOCOLS["transfer"], trial.scores["transfer"])["dataset"]
        found[OTHER] = Guess(f"class of {dataset}", describe(Data(dataset=dataset)).attributes["class"])
    return found


def _described(data: str) -> Trial:
    """Of a search-space file its first configuration, of a data set's name the defaults."""
    if is_file(data):
        return first_trial(load_space(data))
    trial = Trial(data=Data(dataset=data), objective={}, seeds=Seeds())
    describe(trial.data)
    return trial


def _judged_by(trial: Trial | None, overrides: Sequence[str]) -> Trial:
    """Data, protocols' knobs and split seed of a trial, with every protocol named and overrides put in."""
    assert trial is not None
    scores = {name: dict(trial.scores.get(name, {})) for name in PROTOCOLS}
    plain = {"data": trial_to_plain(trial)["data"], "scores": scores}
    changed = apply_overrides(Document({"trial": plain}, {}, "--set"), overrides).document.data["trial"]
    # An objective that any data can have: it is not looked at, but a trial needs one.
    checked = trial_from({"objective": {"reconstruction": {}}, "training": {"batch_size": 2}, "data": changed["data"]})
    return replace(trial, data=checked.data, scores=changed["scores"])


def _chosen(trial: Trial, protocols: str | Sequence[str], split: str) -> tuple[Trial, dict[str, str]]:
    """The trial with the protocols that were asked for and are possible, and why the others are not.

    Raises InvalidFile for one asked for by name that is not, and for a knob that is wrong in any case.
    """
    names = named_protocols(protocols)
    every = names is None
    kept, left_out = {}, {}
    for name in PROTOCOLS if names is None else names:
        knobs = trial.scores[name]
        try:
            validate_scores(replace(trial, scores={name: knobs}), describe(trial.data))
            if every:
                _check_there(trial, name, split)
        except InvalidFile as error:
            by_default = error.field == f"scores.{name}.dataset" and "dataset" not in knobs
            absent = error.field == f"scores.{name}" or by_default or isinstance(error, MissingData)
            if not (every and absent):
                raise
            left_out[name] = error.reason
        else:
            kept[name] = knobs
    if not kept:
        raise InvalidFile("the data offer nothing that any protocol could judge", field="--protocols")
    return replace(trial, scores=kept), left_out


def _check_there(trial: Trial, name: str, split: str) -> None:
    """Raises MissingData where another data set that a protocol looks at is not on this machine."""
    knobs = check_knobs(PROTOCOLS[name], trial.scores[name])
    if "dataset" in knobs:
        load_tables(Data(dataset=knobs["dataset"]), split_seed=trial.seeds.split, splits=(split,))
