"""Comparisons: who stands against whom, at which budgets, and how often a true nothing is called a difference."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raycon
from raycon import cli
from raycon.comparing import find_side
from raycon.comparison import Budget, Side, compared_pairs, unequal_parts
from raycon.config import Trial
from raycon.driver_contract import Opener
from raycon.errors import InvalidFile, Refused
from raycon.history import RunRecord
from raycon.repeats import Listed
from raycon.settings import Settings
from tests.replication import made_up
from tests.replication.made_up import repetition, trial
from tests.reporting.synthetic import Book
from tests.tiny import FINE

SEEDS = tuple(range(101, 110))
VERSIONS = {"raycon": "0.1.0", "torch": "2.14.0", "data digits": "0123456789abcdef"}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two searches of three runs, 'a' and 'b', each with a repetition of its winner; a's is better by 0.03."""
    monkeypatch.setattr(made_up, "OPENER", Opener("lab", 7, 1.0, "", VERSIONS))
    for name, gain in (("a", 0.03), ("b", 0.0)):
        _search(tmp_path, name, 3)
        _repeat(tmp_path, name, gain)
    return tmp_path


def _search(out: Path, name: str, runs: int) -> None:
    book = Book(out / name, trials=runs)
    for number in range(runs):
        book.run({"objective.supcon.temperature": 0.1 * (number + 1)}, "complete", {FINE: 0.5 + 0.01 * number})
    book.close()


def _repeat(out: Path, of: str, gain: float, **changes: Any) -> Path:
    trials: dict[str, Trial] = changes.get("trials", {"winner": trial(), "plain": trial(validation_size=90)})
    listed = Listed(of, trials, changes.get("seeds", SEEDS), changes.get("score", FINE))

    def score(values: Mapping[str, Any]) -> float | str:
        if values["seed"] in changes.get("diverged", ()):
            return "diverged"
        draw = np.random.default_rng([values["seed"], len(of), int(1000 * gain)])
        shared = np.random.default_rng(values["seed"]).normal(0, 0.02)
        return float(0.7 + (gain if values["configuration"] == "winner" else -0.02) + shared + draw.normal(0, 0.004))

    return repetition(out, score, listed)


def _settings(out: Path) -> Settings:
    return Settings(out=out, tracking="off")


def test_winners_are_compared_on_the_fresh_seeds_of_their_repetitions(out: Path) -> None:
    found = raycon.compare("a", "b", settings=_settings(out))
    (pair,) = found.pairs
    assert pair.seeds == SEEDS and pair.score == FINE and found.unequal == ()
    ours, theirs = (find_side(name, _settings(out)).values(FINE) for name in "ab")
    assert pair.differences == tuple(ours[seed] - theirs[seed] for seed in SEEDS)
    assert pair.interval is not None and pair.interval.low > 0 and pair.improvement == 1.0
    assert pair.verdict == "shown: the first is better" and pair.sign_flip_p == 2.0**-8
    assert raycon.compare("b", "a", settings=_settings(out)).pairs[0].verdict == "shown: the second is better"


def test_a_sweep_without_repetition_says_what_to_run(out: Path) -> None:
    _search(out, "c", 3)
    with pytest.raises(Refused, match=r"c has no repetition.*raycon repeat"):
        raycon.compare("a", "c", settings=_settings(out))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "searched": (lambda out: _search(out, "c", 4), "runs searched: a 3, c 4"),
    "epochs": (lambda out: None, "epochs a run: a 2, c 3"),
    "seeds": (lambda out: None, "repeat seeds: "),
    "images": (lambda out: None, "training images an epoch: a 160, c 120"),
    "data": (lambda out: None, "data (content/section): "),
}


@pytest.mark.parametrize("part", CHANGES)
def test_unequal_budgets_are_refused_and_listed(
    out: Path, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, line = CHANGES[part]
    if part != "searched":
        _search(out, "c", 3)
    change(out)
    own = trial()
    if part == "epochs":
        own = dataclasses.replace(own, training=dataclasses.replace(own.training, epochs=3))
    if part == "images":
        own = trial(train_size=120)
    if part == "data":
        monkeypatch.setattr(made_up, "OPENER", Opener("lab", 7, 1.0, "", VERSIONS | {"data digits": "f" * 16}))
    _repeat(out, "c", 0.0, trials={"winner": own}, seeds=SEEDS[1:] if part == "seeds" else SEEDS)
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", "a", "c", "--out", str(out)])
    told = capsys.readouterr()
    assert end.value.code == 5 and line in told.err and "--unequal-budgets" in told.err and not told.out
    assert not (out / "compare").exists()
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", "a", "c", "--out", str(out), "--unequal-budgets"])
    told = capsys.readouterr()
    assert end.value.code == 0 and "UNEQUAL BUDGETS" in told.out and line in told.out
    folder = Path(told.out.split("report: ")[1].strip()).parent
    for name in ("compare.md", "compare.html", "compare.tex"):
        assert "UNEQUAL" in (folder / name).read_text(), name
    assert json.loads((folder / "compare.json").read_text())["unequal"]


def test_a_log_that_does_not_say_its_data_is_not_taken_for_equal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "OPENER", Opener("lab", 7, 1.0, "", {"raycon": "0.1.0"}))
    _search(out, "c", 3)
    _repeat(out, "c", 0.0)
    with pytest.raises(Refused, match="unknown"):
        raycon.compare("a", "c", settings=_settings(out))


def test_what_a_method_sees_is_told_and_no_difference_of_data(out: Path) -> None:
    _search(out, "c", 3)
    _repeat(out, "c", 0.0, trials={"winner": trial(reveal=("groups",), groups=("class",))})
    side = find_side("c", _settings(out))
    assert side.sees == ("groups",)
    plain = find_side("a", _settings(out))
    assert side.budget.data != plain.budget.data  # its groups are another section
    revealed = dataclasses.replace(side, sees=())
    assert revealed.budget == side.budget


def test_rivals_and_arms_are_named_behind_a_colon(out: Path) -> None:
    found = raycon.compare("a:plain", "b:plain", settings=_settings(out))
    assert [side.budget.searched for side in found.sides] == [0, 0] and found.unequal == ()
    with pytest.raises(InvalidFile, match=r"no repetition of a has 'plian' .did you mean 'plain'"):
        raycon.compare("a:plian", "b", settings=_settings(out))
    with pytest.raises(Refused, match="runs searched: a 3, a:plain 0"):
        raycon.compare("a", "a:plain", settings=_settings(out))


def test_one_name_compares_all_that_it_holds(out: Path) -> None:
    name = next(path.name for path in out.glob("a-repeat-*"))
    found = raycon.compare(name, unequal_budgets=True, settings=_settings(out))
    assert [side.name for side in found.sides] == [f"{name}:winner", f"{name}:plain"]
    with pytest.raises(InvalidFile, match="is a search"):
        raycon.compare("a", settings=_settings(out))


def test_of_several_repetitions_the_one_with_all_seeds_stands_for_the_sweep(out: Path) -> None:
    _repeat(out, "a", 0.03, seeds=SEEDS[:4])
    assert find_side("a", _settings(out)).budget.seeds == SEEDS
    _repeat(out, "a", 0.03, seeds=(201, 202))
    with pytest.raises(InvalidFile, match="has several repetitions"):
        find_side("a", _settings(out))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"margin": 0.0}, "should be above 0"),
        ({"scores": ("validation/geometry/alignment",)}, "no complete run of a has"),
        ({"scores": ("test/coarse_to_fine/accuracy",)}, "raycon report NAME --test"),
        ({"scores": ("validation/coarse_to_fine/acuracy",)}, "accuracy"),
    ],
)
def test_what_cannot_be_compared_is_refused(out: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        raycon.compare("a", "b", settings=_settings(out), **given)
    with pytest.raises(InvalidFile, match="stands there twice"):
        raycon.compare("a", "a", settings=_settings(out))


def test_the_same_logs_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    found = [raycon.compare("a", "b", margin=0.01, settings=_settings(out)) for _ in "12"]
    folders = [one.report(tmp_path / str(place)).parent for place, one in enumerate(found)]
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == sorted(path.name for path in folders[1].iterdir())
    assert names == [
        *("compare.csv", "compare.html", "compare.json", "compare.md", "compare.tex", "differences.png"),
        *("sides.csv", "slopes.png"),
    ]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    caption = (folders[0] / "compare.md").read_text()
    for told in (
        "n = 9 paired seeds",
        "Equal budgets",
        "3 runs searched, 2 epochs x 160 images",
        "Runs without a result: 0",
    ):
        assert told in caption, told


def test_a_lost_seed_is_told(out: Path) -> None:
    _search(out, "c", 3)
    _repeat(out, "c", 0.0, diverged=(104,))
    (pair,) = raycon.compare("a", "c", settings=_settings(out)).pairs
    assert len(pair.seeds) == 8 and pair.lost == ("seed 104: c diverged",)


def _side(name: str, rows: Mapping[str, list[float]]) -> Side:
    count = len(next(iter(rows.values())))
    runs = {}
    for seed in range(count):
        runs[seed] = RunRecord(seed, f"{seed:04d}", {}, {}, {}, 0.0, state="complete")
        runs[seed].metrics = {score: values[seed] for score, values in rows.items()}
    return Side(name, runs, Budget(0, 1, 1, tuple(range(count)), "x", FINE), (), 0, {}, "i" * 64, 0)


def test_verdicts_with_and_without_margin() -> None:
    draw = np.random.default_rng(0)
    base, noise = draw.normal(0.7, 0.02, 9), draw.normal(0, 0.004, 9)
    noise -= noise.mean() - 0.0005
    a, b = _side("a", {FINE: list(base + noise)}), _side("b", {FINE: list(base)})
    few_a, few_b = _side("a", {FINE: list((base + noise)[:4])}), _side("b", {FINE: list(base[:4])})

    def verdict(one: Side, other: Side, margin: float | None) -> str:
        return compared_pairs([one, other], [FINE], margin)[0].verdict

    assert verdict(a, b, None) == "not shown"
    assert verdict(a, b, 0.02) == "equivalent within the margin"
    assert verdict(a, b, 0.001).startswith("not shown: 9 seeds are too few for the margin (about ")
    assert verdict(few_a, few_b, None) == "not shown; 4 seeds are too few for the sign-flip test"
    assert verdict(_side("a", {FINE: [0.5]}), _side("b", {FINE: [0.4]}), None) == "too few pairs"


def test_less_is_better_where_the_metric_says_so() -> None:
    score = "validation/geometry/alignment"
    a, b = _side("a", {score: [0.1, 0.2, 0.11]}), _side("b", {score: [0.3, 0.41, 0.3]})
    assert all(difference > 0 for difference in compared_pairs([a, b], [score])[0].differences)


def test_the_family_wise_error_of_four_equal_sides() -> None:
    """Six pairs a study; at nominal 0.05 at most 0.06 of 600 studies call any of them shown."""
    draw, wrong, studies = np.random.default_rng(3), 0, 600
    for _ in range(studies):
        shared = draw.normal(0, 1, 7)
        sides = [_side(name, {FINE: list(shared + draw.normal(0, 1, 7))}) for name in "abcd"]
        wrong += any(pair.verdict.startswith("shown") for pair in compared_pairs(sides, [FINE]))
    assert wrong / studies <= 0.06


def test_budgets_that_are_equal_have_no_line() -> None:
    sides = [_side(name, {FINE: [0.1, 0.2]}) for name in "ab"]
    assert unequal_parts(sides) == []
    other = dataclasses.replace(sides[1], budget=dataclasses.replace(sides[1].budget, score="validation/x/y"))
    assert unequal_parts([sides[0], other]) == [f"score: a {FINE}, b validation/x/y"]
