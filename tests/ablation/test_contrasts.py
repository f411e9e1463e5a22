"""A planted-effect simulator: every plan recovers what was put in, and is wrong as seldom as it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raycon.ablation.arms import Arms, make_arms
from raycon.ablation.contrasts import AGAINST, EQUIVALENT, SHOWN, answer, questions
from raycon.config import Ablation
from raycon.space.sections import read_ablation
from tests.training.trials import small_trial

COMPONENTS = {
    "spread": {"drop": ["objective.class_conditional_infonce"]},
    "decoder": {"drop": ["objective.reconstruction"]},
    "views": {"off": {"augmentation.shift": 0.0}},
}
SWAPS = {
    name: {"swap": {"other": {"augmentation.shift": value}}}
    for name, value in zip(COMPONENTS, (0.02, 0.04, 0.06), strict=True)
}
PLANS = ["leave_one_out", "add_one_in", "swap", "pairs", "factorial", "fractional", "shapley"]


def _study(plan: str, **section: Any) -> tuple[Ablation, Arms]:
    components = SWAPS if plan == "swap" else COMPONENTS
    design = read_ablation({"components": components, "plan": plan, "resolution": 3, **section})
    return design, make_arms(small_trial(), design)


def _scores(
    arms: Arms, random: np.random.Generator, *, seeds: int = 9, noise: float = 0.5, effects: bool = True
) -> dict[str, list[float]]:
    """Spread adds 2, the decoder nothing by itself, both together 1.5 more; seeds share a part of their noise. Of the
    alternatives one is worse by 1.5, one better by 1, one equal."""
    shared = random.normal(0, 1, size=seeds)
    found = {}
    for name, on in arms.on.items():
        planted = 2.0 * ("spread" in on) + 1.5 * ({"spread", "decoder"} <= on)
        found[name] = list(effects * planted + shared + random.normal(0, noise, size=seeds))
    for name in arms.trials.keys() - arms.on.keys():
        planted = {"spread:other": 2.0, "decoder:other": 4.5, "views:other": 3.5}[name]
        found[name] = list(effects * planted + shared + random.normal(0, noise, size=seeds))
    return found


TRUE = {
    "leave_one_out": {"full - without spread": 3.5, "full - without decoder": 1.5, "full - without views": 0.0},
    "add_one_in": {"spread alone - nothing": 2.0, "decoder alone - nothing": 0.0, "views alone - nothing": 0.0},
    "pairs": {"full - without spread": 3.5, "spread x decoder, with views": 1.5, "spread x views, with decoder": 0.0},
    "factorial": {"main effect of spread": 2.75, "spread x decoder, over all arms": 0.75, "main effect of views": 0.0},
    # Of resolution III: what spread and decoder do together is told of views, with which it is aliased.
    "fractional": {"main effect of spread": 2.75, "main effect of decoder": 0.75, "main effect of views": 0.75},
    "swap": {"full - spread:other": 1.5, "full - decoder:other": -1.0, "full - views:other": 0.0},
    "shapley": {"Shapley share of spread": 2.75, "Shapley share of decoder": 0.75, "Shapley share of views": 0.0},
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_recovers_planted_effects(plan: str) -> None:
    design, arms = _study(plan)
    answers = {a.question.label: a for a in answer(design, arms, _scores(arms, np.random.default_rng(0), noise=1e-6))}
    for label, effect in TRUE[plan].items():
        assert answers[label].interval.mean == pytest.approx(effect, abs=1e-4), label


@pytest.mark.parametrize("plan", PLANS)
def test_the_family_wise_error_of_a_plan(plan: str) -> None:
    """No effect anywhere: a study of this plan calls one in at most 6 % of cases, and its intervals cover."""
    design, arms = _study(plan)
    random = np.random.default_rng(1)
    wrong = inside = told = 0
    rounds = 1000
    for _ in range(rounds):
        answers = answer(design, arms, _scores(arms, random, effects=False))
        wrong += any(a.verdict == SHOWN for a in answers)
        inside += sum(a.interval.low <= 0 <= a.interval.high for a in answers)
        told += len(answers)
    assert wrong / rounds <= 0.06
    assert 0.93 <= inside / told <= 0.97


@pytest.mark.parametrize("plan", PLANS)
def test_planted_effects_are_found_with_nine_seeds(plan: str) -> None:
    """The largest effect of each plan, at least 2 standard deviations of its paired differences."""
    design, arms = _study(plan)
    random = np.random.default_rng(2)
    label = max(TRUE[plan], key=lambda name: abs(TRUE[plan][name]))
    found = [
        next(a.verdict for a in answer(design, arms, _scores(arms, random)) if a.question.label == label)
        for _ in range(60)
    ]
    assert found.count(SHOWN) >= 57


CLAIM = {"effect": "interaction", "of": ["spread", "decoder"], "given": [], "sign": "positive", "margin": 0.5}


def test_claims_are_answered_first_and_alone_in_the_family() -> None:
    design, arms = _study("factorial", claims={"both": CLAIM})
    answers = answer(design, arms, _scores(arms, np.random.default_rng(3), noise=0.1))
    assert answers[0].question.claim == "both"
    assert answers[0].verdict == SHOWN and answers[0].adjusted_p == answers[0].p
    assert {a.verdict for a in answers[1:]} == {"exploratory"} and len(answers) == 8


@pytest.mark.parametrize(
    ("claim", "noise", "verdict"),
    [
        ({**CLAIM, "sign": "negative"}, 0.1, AGAINST),
        ({**CLAIM, "of": ["spread", "views"]}, 0.05, EQUIVALENT),
        (
            {**CLAIM, "of": ["spread", "views"]},
            5.0,
            "unresolved: 9 seeds are too few for the margin (about 2429 for power 0.8)",
        ),
    ],
)
def test_the_verdicts_of_a_claim(claim: dict[str, Any], noise: float, verdict: str) -> None:
    design, arms = _study("factorial", claims={"it": claim})
    assert answer(design, arms, _scores(arms, np.random.default_rng(4), noise=noise))[0].verdict == verdict


def test_of_a_score_where_less_is_better_a_loss_is_a_gain() -> None:
    design, arms = _study("leave_one_out")
    scores = _scores(arms, np.random.default_rng(5), noise=0.1)
    up, down = (answer(design, arms, scores, higher=higher)[0].interval.mean for higher in (True, False))
    assert up == pytest.approx(-down)


@pytest.mark.parametrize(
    ("plan", "claim", "words"),
    [
        ("leave_one_out", CLAIM, "no scores of the arm"),
        ("factorial", {**CLAIM, "of": ["spread"]}, "is of 2 name"),
        ("factorial", {**CLAIM, "effect": "leave_one_out", "of": ["spraed"]}, "not a part"),
        ("factorial", {**CLAIM, "effect": "difference", "of": ["full", "empty"]}, "no arm is called"),
    ],
)
def test_a_claim_that_a_plan_cannot_answer_is_refused(plan: str, claim: dict[str, Any], words: str) -> None:
    design, arms = _study(plan, claims={"it": claim})
    with pytest.raises(ValueError, match=words):
        questions(design, arms)
