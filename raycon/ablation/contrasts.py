"""What a study says: its contrasts over paired seeds, corrected together, and the verdicts on its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from raycon.ablation.arms import FULL, Arms
from raycon.ablation.verdicts import found_with, too_few_for, unshown
from raycon.config import Ablation, Claim
from raycon.statistics import (
    Interval,
    add_one_in,
    equivalence_p,
    factorial_effect,
    holm,
    interaction,
    judge,
    leave_one_out,
    paired_interval,
    paired_t_p,
    shapley,
    sign_flip_p,
)

SHOWN, AGAINST, EQUIVALENT = "shown", "shown, with the other sign", "equivalent within the margin"


@dataclass(frozen=True)
class Question:
    """A contrast of arms. `claim` is the name of the claim that asks it; a question of the plan alone has none."""

    label: str
    effect: str
    of: tuple[str, ...]
    given: tuple[str, ...] = ()
    claim: str | None = None


@dataclass(frozen=True)
class Answer:
    """One contrast over the seeds that all arms completed. p is of the paired t test; adjusted_p of Holm over the
    family of the study (its claims, or, where it has none, all contrasts of its plan); None for a contrast outside of
    it, which is exploratory. detectable: the true effect that this test finds with power 0.8, if the differences spread
    as these do; None where they do not spread. verdict: one sentence."""

    question: Question
    differences: tuple[float, ...]
    interval: Interval
    p: float
    adjusted_p: float | None
    sign_flip_p: float
    equivalence_p: float | None
    detectable: float | None
    verdict: str

    @property
    def line(self) -> str:
        """The contrast in one line of plain text, in the score's own unit."""
        low, high, mean = self.interval.low, self.interval.high, self.interval.mean
        corrected = "" if self.adjusted_p is None else f", Holm p = {self.adjusted_p:.4f}"
        return (
            f"{self.question.label}: {mean:+.4f}, {self.interval.confidence:.0%} interval [{low:+.4f}, {high:+.4f}], "
            f"n = {self.interval.n}, p = {self.p:.4f}{corrected}: {self.verdict}"
        )


def questions(design: Ablation, arms: Arms) -> list[Question]:
    """The claims of a study in their order, then the contrasts of its plan that no claim asks.

    Raises ValueError for a claim that the arms of the plan cannot answer.
    """
    asked = [_claimed(name, claim, arms) for name, claim in design.claims.items()]
    known = {(q.effect, frozenset(q.of), frozenset(q.given)) for q in asked}
    planned = [q for q in _planned(design, arms) if (q.effect, frozenset(q.of), frozenset(q.given)) not in known]
    return [*asked, *planned]


def answer(design: Ablation, arms: Arms, scores: Mapping[str, Sequence[float]], *, higher: bool = True) -> list[Answer]:
    """The answers to all questions, from the scores of every arm on the same seeds in the same order.

    higher: whether more of the score is better; else signs are turned, so that a positive effect is always a gain.
    Raises ValueError for fewer than 2 seeds, or an arm without scores.
    """
    turned = {name: [v if higher else -v for v in values] for name, values in scores.items()}
    asked = questions(design, arms)
    rows = [_row(question, arms, turned) for question in asked]
    p = [paired_t_p(row) for row in rows]
    family = [i for i, q in enumerate(asked) if q.claim is not None] or list(range(len(asked)))
    adjusted: dict[int, float] = dict(zip(family, holm([p[i] for i in family]), strict=True))
    answers = []
    for index, (question, row) in enumerate(zip(asked, rows, strict=True)):
        claim = design.claims[question.claim] if question.claim is not None else None
        answers.append(
            Answer(
                question=question,
                differences=tuple(row),
                interval=paired_interval(row, 1 - design.alpha),
                p=p[index],
                adjusted_p=float(adjusted[index]) if index in adjusted else None,
                sign_flip_p=sign_flip_p(row),
                equivalence_p=None if claim is None else equivalence_p(row, claim.margin),
                detectable=found_with(row, alpha=design.alpha, contrasts=len(family) if index in adjusted else 1),
                verdict=_verdict(row, claim, adjusted.get(index), design.alpha, len(family)),
            )
        )
    return answers


def _verdict(row: Sequence[float], claim: Claim | None, adjusted: float | None, alpha: float, family: int) -> str:
    if claim is not None:
        judged = judge(row, sign=claim.sign, margin=claim.margin, alpha=alpha, adjusted_p=adjusted)
        if judged.verdict == "equivalent":
            return EQUIVALENT
        if judged.verdict == "shown" or judged.against:
            return SHOWN if judged.verdict == "shown" else AGAINST
        least = found_with(row, alpha=alpha, contrasts=family)
        if least is not None and least > claim.margin:
            return f"unresolved: {too_few_for(claim.margin, row, alpha=alpha, contrasts=family)}"
        return "unresolved"
    if adjusted is None:
        return "exploratory"
    return SHOWN if adjusted <= alpha else unshown(len(row), family, alpha)


def _claimed(name: str, claim: Claim, arms: Arms) -> Question:
    wanted = {"interaction": 2, "difference": 2, "factorial": len(claim.of)}.get(claim.effect, 1)
    if len(claim.of) != wanted:
        raise ValueError(f"claim {name!r}: {claim.effect} is of {wanted} name(s), not {len(claim.of)}")
    label = f"{name}: {_label(claim.effect, claim.of, claim.given)}"
    question = Question(label, claim.effect, claim.of, claim.given, name)
    # Asked of made-up scores: whatever is missing is found before any run.
    try:
        _row(question, arms, {arm: [0.0, 0.0] for arm in arms.trials})
    except ValueError as error:
        raise ValueError(f"claim {name!r} cannot be answered by this plan: {error}") from None
    return question


def _planned(design: Ablation, arms: Arms) -> list[Question]:
    """The contrasts that a plan is made for; every arm outside of it is compared with the full one."""
    names = arms.components
    ones = [(name,) for name in names]
    pairs = list(combinations(names, 2))
    sets = [of for size in range(1, len(names) + 1) for of in combinations(names, size)]
    effects: dict[str, list[tuple[str, list[tuple[str, ...]]]]] = {
        "leave_one_out": [("leave_one_out", [*ones])],
        "pairs": [("leave_one_out", [*ones]), ("interaction", [*pairs])],
        "add_one_in": [("add_one_in", [*ones])],
        "shapley": [("shapley", [*ones])],
        "factorial": [("factorial", sets)],
        "fractional": [("factorial", _clear_effects(arms))],
        "swap": [],
    }
    found = []
    for effect, of_all in effects[design.plan]:
        for of in of_all:
            given = tuple(name for name in names if name not in of) if effect == "interaction" else ()
            found.append(Question(_label(effect, of, given), effect, of, given))
    others = [name for name in arms.trials if name not in arms.on]
    return [*found, *(Question(_label("difference", (FULL, o), ()), "difference", (FULL, o)) for o in others)]


def _clear_effects(arms: Arms) -> list[tuple[str, ...]]:
    """Main effects, and the two-way interactions that a fraction tells apart from one another and from main effects."""
    aliases = arms.fraction.aliases if arms.fraction is not None else {}
    return [of for of, same in aliases.items() if len(of) == 1 or not same]


def _label(effect: str, of: tuple[str, ...], given: tuple[str, ...]) -> str:
    if effect == "leave_one_out":
        return f"full - without {of[0]}"
    if effect == "add_one_in":
        return f"{of[0]} alone - nothing"
    if effect == "shapley":
        return f"Shapley share of {of[0]}"
    if effect == "difference":
        return f"{of[0]} - {of[1]}"
    if effect == "interaction":
        return f"{of[0]} x {of[1]}, " + (f"with {' and '.join(given)}" if given else "all others off")
    return f"main effect of {of[0]}" if len(of) == 1 else " x ".join(of) + ", over all arms"


def _row(question: Question, arms: Arms, scores: Mapping[str, Sequence[float]]) -> list[float]:
    """The contrast, one number a seed."""
    by_set = {on: scores[name] for name, on in arms.on.items()}
    full, of = frozenset(arms.components), question.of
    if question.effect == "difference":
        for name in of:
            if name not in scores:
                raise ValueError(f"no arm is called {name!r}; there are {', '.join(scores)}")
        return [a - b for a, b in zip(scores[of[0]], scores[of[1]], strict=True)]
    if question.effect == "leave_one_out":
        return list(leave_one_out(by_set, of[0], full))
    if question.effect == "add_one_in":
        return list(add_one_in(by_set, of[0], frozenset(question.given)))
    if question.effect == "interaction":
        return list(interaction(by_set, of[0], of[1], frozenset(question.given)))
    if question.effect == "shapley":
        return list(shapley(by_set, of[0], full))
    return list(factorial_effect(by_set, arms.components, of))
