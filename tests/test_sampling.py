"""The samplers: an interrupted search asks what an uninterrupted one asks, and results are used as promised."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import optuna
import pytest

from raycon.cluster.sampling import OptunaSampler, at_quantile, distribution_of
from raycon.config import Sweep
from raycon.errors import InvalidFile
from raycon.space.holes import Hole

LAG = 2
SINGLE = Sweep(maximize=("validation/linear_probe/accuracy",), startup=5, lag=LAG, seed=11)
SEVERAL = replace(SINGLE, minimize=("validation/geometry/alignment",))


@dataclass(frozen=True)
class Filled:
    values: dict[str, Any]


class ConditionalSpace:
    """Holes of every kind; `term` decides which of two others is asked."""

    def __init__(self, first: list[dict[str, Any]] | None = None):
        self.first = first or []
        self.holes = {
            "term": Hole("choice", options=("spread", "margin")),
            "spread.temperature": Hole("log_uniform", 0.01, 1.0),
            "spread.steps": Hole("log_integer", 1, 64),
            "margin.epsilon": Hole("uniform", 0.0, 0.5),
            "flag": Hole("choice", options=(1, True, None, "x")),
            "depth": Hole("integer", 3, 5),
        }

    def fill(self, suggest: Callable[[str, Hole], Any]) -> Filled:
        values: dict[str, Any] = {}
        for path, hole in self.holes.items():
            owner = path.split(".")[0]
            if owner == path or values["term"] == owner:
                values[path] = suggest(path, hole)
        return Filled(values)


def chance(*parts: object) -> float:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


def result(number: int, values: dict[str, Any], objectives: int) -> tuple[str, list[float] | None, dict[int, float]]:
    """A result of each kind now and then, that depends on the configuration alone."""
    text = json.dumps(values)
    state = ["complete", "complete", "complete", "pruned", "pruned", "diverged", "failed"][
        int(7 * chance(text, number))
    ]
    score = chance(text, "score")
    if state == "complete":
        return state, [score, 1.0 - score][:objectives], {1: score / 2, 2: score}
    epochs = 1 + int(3 * chance(text, "epochs"))
    return state, None, {epoch: score * epoch for epoch in range(1, epochs + 1)} if state == "pruned" else {}


def ask_all(sampler: OptunaSampler, count: int, known: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Search as the driver does: runs up to the lag are told before each ask. `known` answers are restored."""
    objectives = len(sampler.sweep.maximize) + len(sampler.sweep.minimize)
    asked: list[dict[str, Any]] = []
    for number in range(count):
        if number > LAG:
            done = number - LAG - 1
            sampler.tell(done, *result(done, asked[done], objectives))
        if known is not None and number < len(known):
            sampler.restore(number, known[number])
            asked.append(known[number])
        else:
            asked.append(json.loads(json.dumps(sampler.ask(number))))
    return asked


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "qmc"])
@pytest.mark.parametrize("sweep", [SINGLE, SEVERAL], ids=["single", "several"])
def test_a_rebuilt_search_asks_what_the_living_one_asks(name: Any, sweep: Sweep) -> None:
    sweep = replace(sweep, sampler=name)
    living = ask_all(OptunaSampler(ConditionalSpace(), sweep), 34)
    for cut in (1, 2, 5, 7, 13, 20, 27, 33):
        rebuilt = ask_all(OptunaSampler(ConditionalSpace(), sweep), min(34, cut + 3), living[:cut])
        assert rebuilt == living[: len(rebuilt)]
    distinct = len({json.dumps(values) for values in living})
    assert distinct == 34 or name == "nsga2", "a search repeats itself"  # a child without a mutation is its parent
    assert {values["term"] for values in living} == {"spread", "margin"}


def test_every_ask_is_within_its_hole_and_has_its_type() -> None:
    space = ConditionalSpace()
    for name in ("tpe", "random", "nsga2", "qmc"):
        for values in ask_all(OptunaSampler(space, replace(SINGLE, sampler=name)), 20):
            for path, value in values.items():
                checked = space.holes[path].check(value)
                assert type(checked) is type(value) and checked == value


def test_the_first_points_come_first_in_order_and_are_learnt_from() -> None:
    point = {"term": "spread", "spread.temperature": 0.07, "spread.steps": 2, "flag": True, "depth": 4}
    other = {"term": "margin", "margin.epsilon": 0.0, "flag": None, "depth": 3}
    sampler = OptunaSampler(ConditionalSpace([point, other]), SINGLE)
    asked = [sampler.ask(number) for number in range(3)]
    assert asked[:2] == [point, other] and asked[0]["flag"] is True
    assert [trial.params["flag"] for trial in sampler.study().trials[:2]] == [1, 2]


def test_tpe_uses_results_pending_runs_and_stopped_ones() -> None:
    def after(state: str, values: list[float] | None, intermediate: dict[int, float], pending: float) -> dict[str, Any]:
        sampler = OptunaSampler(ConditionalSpace(), SINGLE)
        asked = ask_all(sampler, 12)
        for number in range(9, 11):
            sampler.tell(number, *result(number, asked[number], 1))
        sampler.tell(11, state, values, intermediate)
        sampler.restore(12, {"term": "margin", "margin.epsilon": pending, "flag": 1, "depth": 3})
        return sampler.ask(13)

    plain = after("complete", [0.99], {}, 0.1)
    assert after("complete", [0.99], {}, 0.1) == plain
    assert after("complete", [0.0], {}, 0.1) != plain
    assert any(after("complete", [0.99], {}, pending / 20) != plain for pending in range(10))
    assert after("diverged", None, {9: 0.99}, 0.1) == after("failed", None, {}, 0.1)


def test_tpe_ranks_stopped_runs_by_their_last_values() -> None:
    def after(sign: float, seed: int) -> dict[str, Any]:
        sampler = OptunaSampler(ConditionalSpace(), replace(SINGLE, seed=seed))
        for number in range(8):
            sampler.restore(
                number, {"term": "margin", "margin.epsilon": 0.05 * number, "flag": 1, "depth": 3 + number % 3}
            )
            sampler.tell(number, "pruned", None, {1: 0.5, 2: sign * number})
        return sampler.ask(8)

    assert any(after(1.0, seed) != after(-1.0, seed) for seed in range(6))


def test_random_and_qmc_use_no_results() -> None:
    for name in ("random", "qmc"):
        one = OptunaSampler(ConditionalSpace(), replace(SINGLE, sampler=name))
        other = OptunaSampler(ConditionalSpace(), replace(SINGLE, sampler=name))
        asked = ask_all(one, 12)
        assert [other.ask(number) for number in range(12)] == asked


def test_tpe_searches_better_than_chance() -> None:
    class Line(ConditionalSpace):
        def __init__(self) -> None:
            super().__init__()
            self.holes = {"x": Hole("uniform", -1.0, 1.0), "y": Hole("uniform", -1.0, 1.0)}

        def fill(self, suggest: Callable[[str, Hole], Any]) -> Filled:
            return Filled({path: suggest(path, hole) for path, hole in self.holes.items()})

    def best(name: Any, seed: int) -> float:
        sampler = OptunaSampler(Line(), replace(SINGLE, sampler=name, seed=seed))
        scores: list[float] = []
        for number in range(40):
            values = sampler.ask(number)
            scores.append(-((values["x"] - 0.3) ** 2) - (values["y"] + 0.6) ** 2)
            sampler.tell(number, "complete", [scores[-1]], {})
        return sum(scores[20:]) / 20

    assert all(best("tpe", seed) > best("random", seed) + 0.1 for seed in range(3))


def test_qmc_fills_each_range_evenly() -> None:
    sampler = OptunaSampler(ConditionalSpace(), replace(SINGLE, sampler="qmc"))
    asked = [sampler.ask(number) for number in range(16)]
    assert sorted(values["flag"] is None for values in asked) == [False] * 12 + [True] * 4
    assert sum(values["term"] == "spread" for values in asked) == 8


@pytest.mark.parametrize(
    "hole",
    [
        Hole("uniform", 0.0, 0.3),
        Hole("log_uniform", 1e-3, 7.0),
        Hole("integer", 3, 5),
        Hole("log_integer", 1, 64),
        Hole("choice", options=("a", 1, None)),
    ],
)
def test_quantiles_cover_a_hole_and_no_more(hole: Hole) -> None:
    found = [at_quantile(hole, step / 1000) for step in range(1001)]
    assert all(hole.check(value) == value for value in found)
    if hole.kind == "choice":
        assert list(dict.fromkeys(found)) == list(hole.options)
    else:
        assert found == sorted(found) and (found[0], found[-1]) == pytest.approx(hole.bounds())
    if hole.kind == "integer":
        assert [found.count(value) for value in (3, 4, 5)] == pytest.approx([333, 333, 333], abs=3)


def test_a_zero_width_hole_is_one_value() -> None:
    assert distribution_of(Hole("uniform", 0.5, 0.5)).single()
    assert at_quantile(Hole("log_integer", 4, 4), 0.9) == 4


def test_wrong_use_is_refused() -> None:
    sampler = OptunaSampler(ConditionalSpace(), SINGLE)
    with pytest.raises(ValueError, match="where run 0 was due"):
        sampler.ask(1)
    sampler.ask(0)
    with pytest.raises(ValueError, match="not finite"):
        sampler.tell(0, "complete", [math.nan], {})
    with pytest.raises(ValueError, match="not finite"):
        sampler.tell(0, "pruned", None, {1: math.inf})
    sampler.tell(0, "diverged", None, {})
    with pytest.raises(ValueError, match="told before"):
        sampler.tell(0, "complete", [1.0], {})
    with pytest.raises(InvalidFile, match="not one of its options"):
        sampler.restore(1, {"term": "spread", "spread.temperature": 0.1, "spread.steps": 1, "flag": 2, "depth": 3})


def test_a_sweep_without_an_objective_can_be_asked() -> None:
    sampler = OptunaSampler(ConditionalSpace(), Sweep(startup=2))
    for number in range(6):
        sampler.ask(number)
        sampler.tell(number, "complete", [], {})


def test_no_warning_escapes_and_settings_stay() -> None:
    level = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("tpe", "nsga2", "qmc"):
            ask_all(OptunaSampler(ConditionalSpace(), replace(SEVERAL, sampler=name)), 12)
    assert optuna.logging.get_verbosity() == level


@pytest.mark.slow
def test_asks_do_not_depend_on_the_process() -> None:
    code = (
        "import json; from tests.test_sampling import *; "
        "print(json.dumps(ask_all(OptunaSampler(ConditionalSpace(), SINGLE), 30)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


@pytest.mark.slow
def test_an_ask_after_300_runs_takes_less_than_a_second() -> None:
    sampler = OptunaSampler(ConditionalSpace(), SINGLE)
    for number in range(300):
        values = {"term": "margin", "margin.epsilon": 0.5 * chance(number), "flag": 1, "depth": 3}
        sampler.restore(number, values)
        sampler.tell(number, *result(number, values, 1))
    began = time.process_time()
    sampler.ask(300)
    assert time.process_time() - began < 1.0
