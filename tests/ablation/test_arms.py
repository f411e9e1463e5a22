"""From components to valid configurations."""

from __future__ import annotations

from typing import Any

import pytest

from raycon.ablation.arms import Arms, check_trained, make_arms, named_as
from raycon.config import Trial
from raycon.errors import InvalidFile
from raycon.space import trial_to_plain
from raycon.space.sections import read_ablation
from tests.training.trials import small_trial

SPREAD = {"drop": ["objective.class_conditional_infonce"], "off": {"objective.supcon.weight": 1.0}}
DECODER = {"drop": ["objective.reconstruction"]}
VIEWS = {"off": {"augmentation.scale": [1.0, 1.0], "augmentation.shift": 0.0}}


def _base() -> Trial:
    return small_trial(networks={"decoder": {"hidden": 8}})


def _arms(**section: Any) -> Arms:
    section.setdefault("components", {"spread": SPREAD, "decoder": DECODER, "views": VIEWS})
    return make_arms(_base(), read_ablation(section))


@pytest.mark.parametrize(
    ("plan", "names"),
    [
        ("leave_one_out", ["full", "without spread", "without decoder", "without views"]),
        ("add_one_in", ["full", "spread", "decoder", "views", "nothing"]),
        (
            "pairs",
            [
                *("full", "without spread", "without decoder", "without views"),
                *("without spread and decoder", "without spread and views", "without decoder and views"),
            ],
        ),
    ],
)
def test_the_arms_of_a_plan(plan: str, names: list[str]) -> None:
    assert list(_arms(plan=plan).trials) == names


def test_a_factorial_plan_has_all_sets_of_components() -> None:
    arms = _arms(plan="factorial")
    assert len(arms.trials) == 8 and set(arms.on.values()) == set(_arms(plan="shapley").on.values())
    assert next(iter(arms.trials)) == "full" and list(arms.trials)[-1] == "nothing"


def test_a_fractional_plan_says_its_resolution() -> None:
    arms = _arms(plan="fractional", resolution=3)
    assert len(arms.trials) == 4 and arms.fraction is not None and arms.fraction.resolution == 3


def test_a_component_takes_along_what_only_it_used() -> None:
    arms = _arms(plan="leave_one_out")
    without = arms.trials["without decoder"]
    assert "reconstruction" not in without.objective and "decoder" not in without.networks
    assert "decoder" in arms.trials["full"].networks
    plain = trial_to_plain(arms.trials["without spread"])
    assert plain["objective"]["supcon"]["weight"] == 1.0 and "class_conditional_infonce" not in plain["objective"]
    assert arms.trials["without views"].augmentation.scale == (1.0, 1.0)
    assert arms.trials["without views"].augmentation.brightness == _base().augmentation.brightness


def test_weights_can_be_renormalised() -> None:
    section: dict[str, Any] = {"components": {"decoder": DECODER}, "weights": "renormalise"}
    base = sum(entry["weight"] for entry in _base().objective.values())
    kept = _arms(components={"decoder": DECODER}).trials["without decoder"].objective
    scaled = _arms(**section).trials["without decoder"].objective
    assert sum(entry["weight"] for entry in scaled.values()) == pytest.approx(base)
    assert scaled["supcon"]["weight"] / scaled["cross_entropy"]["weight"] == pytest.approx(
        kept["supcon"]["weight"] / kept["cross_entropy"]["weight"]
    )


def test_without_components_every_term_is_one() -> None:
    arms = _arms(components={}, over=["objective"])
    assert arms.components == ("supcon", "class_conditional_infonce", "reconstruction", "cross_entropy")
    assert len(arms.trials) == 5


def test_an_arm_without_any_weight_is_named() -> None:
    bare = [f"objective.{name}" for name in _base().objective if name != "supcon"]
    silent = {"drop": bare, "off": {"objective.supcon.weight": 0.0}}
    check_trained(_arms().trials)
    with pytest.raises(InvalidFile, match=r"the arm 'without all' has nothing to train: the weight of supcon is 0"):
        check_trained(_arms(components={"all": silent}).trials)


def test_arms_can_be_called_as_in_an_older_log() -> None:
    arms = _arms(plan="leave_one_out")
    older = dict(zip(["full", "decoder+views", "spread+views", "spread+decoder"], arms.trials.values(), strict=True))
    renamed = named_as(arms, older)
    assert renamed.trials == older and renamed.on["decoder+views"] == arms.on["without spread"]
    assert named_as(arms, arms.trials) == arms


def test_alternatives_and_further_arms() -> None:
    swap = {"swap": {"infonce": {"objective.plain": {"term": "infonce"}}}, "drop": ["objective.supcon"]}
    arms = _arms(plan="swap", components={"supcon": swap}, against={"long": {"training.epochs": 3}})
    assert list(arms.trials) == ["full", "supcon:infonce", "long"]
    assert list(arms.trials["supcon:infonce"].objective) == [
        "class_conditional_infonce",
        "reconstruction",
        "cross_entropy",
        "plain",
    ]
    assert arms.trials["long"].training.epochs == 3


@pytest.mark.parametrize(
    ("section", "field", "words"),
    [
        ({"components": {"a": {"drop": ["objective.supcom"]}}}, "ablation.components.a", "did you mean 'supcon'"),
        ({"components": {"a": {"drop": ["training.epochs"]}}}, "ablation.components.a", "only entries of"),
        ({"components": {"a": {"off": {"training.epochs.x": 1}}}}, "ablation.components.a", "no value stands"),
        ({"components": {"a": {"off": {"training.epochs": 0}}}}, "ablation.components.a", "no valid configuration"),
        ({"components": {"a": {}}}, "ablation.components.a", "neither drop, off nor swap"),
        ({"components": {"a b": DECODER}}, "ablation.components.a b", "cannot name"),
        ({"components": {"a": VIEWS}, "plan": "swap"}, "ablation.components.a", "has no swap"),
        ({"components": {"a": {"off": {"training.epochs": 2}}}}, "ablation", "same configuration"),
        ({"against": {"full": {"training.epochs": 3}}}, "ablation.against", "is an arm"),
        ({"components": {f"c{i}": DECODER for i in range(11)}}, "ablation.components", "too many"),
        ({"plan": "leave_two_out"}, "ablation.plan", "leave_one_out"),
        ({"seeds": [1, 1]}, "ablation.seeds", "each once"),
        ({"of": "best", "values": {"a": 1}}, "ablation.values", "best run"),
    ],
)
def test_what_cannot_be_ablated_is_refused(section: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as caught:
        _arms(**section)
    assert caught.value.field == field
