"""The catalogue: injection by name, metric names from the one table, refusals before training."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from raycon.config import Data, Trial
from raycon.errors import InvalidFile
from raycon.further_images import PREPARED
from raycon.metric_names import METRICS, PATTERNS, metric
from raycon.scores import PROTOCOLS, SCORE_VOCABULARY, Embedded, NotFinite, evaluate, probe, validate_scores
from raycon.scores.vocabulary import ABSENT, ALWAYS, FURTHER
from tests.scores.blobs import blobs, further

ALL: dict[str, dict[str, Any]] = {name: {} for name in PROTOCOLS}
ALL["shots"] = {"many": 60.0, "few": 55.0}  # some of the 51 to 66 rows a class on either side
ALL["estimated_groups"] = {"steps": 20}
ALL["few_shot"] = {"episodes": 3}
ALL["out_of_distribution"] = ALL["transfer"] = {"dataset": "fashion_mnist"}  # the trials here are of the digits


def trial(scores: dict[str, dict[str, Any]], data: Data | None = None) -> Trial:
    return Trial(objective={"supcon": {}}, scores=scores, data=data or Data(groups=("class", "aligned")))


@dataclass(frozen=True)
class Plain:
    attributes: Mapping[str, int]


BIASED = Plain({"class": 4, "coarse": 2, "colour": 4, "aligned": 2})


def test_every_protocol_returns_finite_numbers_with_names_of_the_table() -> None:
    tables = {"train": blobs(seed=1), "validation": blobs(120, seed=2)}
    found = evaluate(trial(ALL), tables, "validation", further(*tables.values()))
    # Classes can be told apart within labels only where labels are coarse.
    coarse = {name: replace(split, labels=split.attributes["coarse"]) for name, split in tables.items()}
    found |= evaluate(trial({"geometry": {}}), coarse, "validation")
    assert {name.split("/")[1] for name in found} == set(PROTOCOLS)
    for name, value in found.items():
        assert name.startswith("validation/")
        metric(name)
        assert type(value) is float and math.isfinite(value)
    fixed = {name.removeprefix("validation/") for name in found} & set(METRICS)
    assert fixed == {name for name in METRICS if name.split("/")[0] in PROTOCOLS}


def test_every_metric_of_a_protocol_has_a_direction() -> None:
    for found in [*METRICS.values(), *PATTERNS.values()]:
        assert found.direction in ("higher", "lower", "none")
        assert found.unit and found.meaning


def test_every_split_can_be_judged_and_gets_its_prefix() -> None:
    tables = {"train": blobs(60, seed=1), "test": blobs(60, seed=2)}
    for split in tables:
        found = evaluate(trial({"linear_probe": {"iterations": 5}}), tables, split)
        assert set(found) == {f"{split}/linear_probe/accuracy", f"{split}/linear_probe/balanced_accuracy"}


def test_the_catalogue_asks_for_names_of_the_vocabulary_only() -> None:
    assert set(ABSENT) | ALWAYS == set(SCORE_VOCABULARY)
    assert {name for name, _ in PREPARED.values()} == FURTHER
    asked: set[str] = set()
    for function in PROTOCOLS.values():
        parameters = inspect.signature(function).parameters.values()
        asked |= {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        assert {p.kind for p in parameters} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
        assert all(p.default is not p.empty for p in parameters if p.kind is p.KEYWORD_ONLY)
    assert asked <= set(SCORE_VOCABULARY)


def test_protocols_share_the_probe_and_keep_their_own_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[float] = []
    fit = probe.fit_probe

    def counted(*arguments: Any, **knobs: Any) -> probe.Probe:
        fitted.append(knobs["l2"])
        return fit(*arguments, **knobs)

    monkeypatch.setattr(probe, "fit_probe", counted)
    tables = {"train": blobs(60, seed=1), "validation": blobs(60, seed=2)}
    evaluate(trial({"linear_probe": {}, "groups": {}, "coarse_to_fine": {}}), tables, "validation")
    assert len(fitted) == 1
    evaluate(trial({"linear_probe": {"l2": 0.5}, "groups": {}}), tables, "validation")
    assert fitted[1:] == [0.5, 1e-4]


def test_scores_leave_gradients_and_inputs_alone() -> None:
    train, judged = blobs(60, seed=1), blobs(60, seed=2)
    tracked = replace(train, embeddings=train.embeddings.clone().requires_grad_())
    before = [train.embeddings.clone(), judged.embeddings.clone(), judged.features.clone(), judged.labels.clone()]
    plain = evaluate(trial(ALL), {"train": train, "validation": judged}, "validation", further(train, judged))
    again = evaluate(trial(ALL), {"train": tracked, "validation": judged}, "validation", further(train, judged))
    assert again == plain
    assert tracked.embeddings.grad is None
    after = [train.embeddings, judged.embeddings, judged.features, judged.labels]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.is_grad_enabled()


def test_groups_without_bias_have_no_aligned_accuracy() -> None:
    train, judged = (
        replace(s, attributes={"class": s.attributes["class"]}, groups=s.attributes["class"], group_count=4)
        for s in (blobs(60, seed=1), blobs(60, seed=2))
    )
    data = Data(groups=("class",))
    found = evaluate(trial({"groups": {}}, data), {"train": train, "validation": judged}, "validation")
    assert "validation/groups/worst_accuracy" in found
    assert "validation/groups/aligned_accuracy" not in found


@pytest.mark.parametrize(
    ("scores", "data", "described", "field", "words"),
    [
        ({"linear_prob": {}}, Data(), BIASED, "scores.linear_prob", "did you mean 'linear_probe'"),
        ({"groups": {}}, Data(), BIASED, "scores.groups", "data.groups"),
        ({"coarse_to_fine": {}}, Data(), Plain({"class": 4}), "scores.coarse_to_fine", "data.coarse"),
        ({"nearest_neighbours": {"neighbors": 3}}, Data(), BIASED, "scores.nearest_neighbours.neighbors", "neighbours"),
        ({"nearest_neighbours": {"neighbours": 0}}, Data(), BIASED, "scores.nearest_neighbours.neighbours", "1"),
        ({"nearest_neighbours": {"vote": "loud"}}, Data(), BIASED, "scores.nearest_neighbours.vote", "majority"),
        ({"transfer": {}}, Data(), BIASED, "scores.transfer.dataset", "digits is the data set trained on"),
        ({"transfer": {"dataset": "mnits"}}, Data(), BIASED, "scores.transfer.dataset", "did you mean 'mnist'"),
        ({"linear_probe": {"l2": -1.0}}, Data(), BIASED, "scores.linear_probe.l2", "0"),
        ({"linear_probe": {"iterations": "80"}}, Data(), BIASED, "scores.linear_probe.iterations", "whole number"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    scores: dict[str, dict[str, Any]], data: Data, described: Plain, field: str, words: str
) -> None:
    with pytest.raises(InvalidFile) as refused:
        validate_scores(trial(scores, data), described)
    assert refused.value.field == field
    assert words in refused.value.reason


def test_what_can_be_computed_is_accepted() -> None:
    validate_scores(trial(ALL), BIASED)
    validate_scores(trial({"linear_probe": {"l2": 1.0}, "geometry": {}}, Data()), Plain({"class": 4}))


def test_evaluate_refuses_what_the_tables_do_not_hold() -> None:
    split = replace(blobs(30, seed=1), groups=None, group_count=0)
    with pytest.raises(InvalidFile, match=r"groups needs groups: give data\.groups"):
        evaluate(trial({"groups": {}}), {"train": split, "validation": split}, "validation")
    with pytest.raises(InvalidFile, match="transfer needs further images encoded"):
        evaluate(trial({"transfer": {}}), {"train": split, "validation": split}, "validation")


def test_embedded_refuses_rows_that_do_not_fit() -> None:
    split = blobs(30, seed=1)
    with pytest.raises(ValueError, match="labels has 29 rows"):
        replace(split, labels=split.labels[1:])
    with pytest.raises(ValueError, match="colour has 31 rows"):
        replace(split, attributes={"colour": torch.zeros(31)})
    with pytest.raises(ValueError, match="groups has 2 rows"):
        replace(split, groups=torch.zeros(2))
    nothing = torch.zeros(0, 3)
    with pytest.raises(ValueError, match="without images"):
        Embedded(embeddings=nothing, features=nothing, attributes={}, sizes={}, labels=torch.zeros(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["embeddings", "features"])
def test_embedded_refuses_numbers_that_are_not_finite(field: str, value: float) -> None:
    split = blobs(30, seed=1)
    broken = getattr(split, field).clone()
    broken[3, 1] = value
    with pytest.raises(NotFinite, match=field):
        replace(split, **{field: broken})
