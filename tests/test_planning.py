"""What a sweep will cost, and whether the probe tells a search that can pay from one that cannot."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raycon import one_trial
from raycon.errors import Diverged, InvalidFile, RayconError
from raycon.planning import SEARCH_PAYS_FROM, Probe, draw_value, make_plan, probe, probe_trials
from raycon.space import Space, load
from raycon.space.holes import Hole
from tests.reporting.synthetic import ALIGNMENT, FINE
from tests.tiny import tiny_file


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return load(tiny_file(tmp_path))


def test_the_plan_counts_runs_knobs_and_seeds(space: Space) -> None:
    plan = make_plan(space)
    assert (plan.name, plan.runs, plan.listed, plan.epochs, plan.workers) == ("tiny", 3, 1, 1, 1)
    assert (plan.holes, plan.conditional) == (3, 1)
    assert (plan.repeat_runs, plan.repeat_seeds, plan.floor) == (4, 2, 0.5)
    assert not plan.stops_early


def test_the_plan_in_words(space: Space) -> None:
    lines = "\n".join(make_plan(space).lines(2, None))
    for part in ("3 runs of 1 epoch(s), 1 of them given", "3 knobs, 1 of them", "slots: 2", "4 runs on 2", "--probe"):
        assert part in lines


def test_the_time_is_in_whole_waves_of_slots(space: Space) -> None:
    # 3 runs on 2 slots are two waves of 90 s; 4 runs of the repetition are two as well.
    assert (
        make_plan(space)
        .lines(2, 90.0)[-1]
        .startswith(
            "time: 90.0 s a run as measured alone; about 3 min 00 s for the sweep and 3 min 00 s for its repetition"
        )
    )


def test_a_search_has_no_more_slots_than_its_lag_allows(tmp_path: Path) -> None:
    """20 runs of lag 1 on 16 slots are ten waves of two; the 4 runs of the repetition wait for nobody."""
    plan = make_plan(load(tiny_file(tmp_path, ("trials: 3", "trials: 20\n  lag: 1"))))
    lines = plan.lines(16, 60.0)
    assert "slots: 2 of 16 (sweep.lag + 1 at most; `--set sweep.lag=15` is another search, with 16)" in lines[2]
    assert "4 runs on 2 fresh seed(s), 4 at a time" in lines[3]
    assert "about 10 min 00 s for the sweep and 1 min 00 s for its repetition, if 4 at a time" in lines[4]
    assert plan.lines(16, None, asked=False)[2] == "slots: 2, 1 worker(s) each"
    assert plan.lines(2, None)[2] == "slots: 2, 1 worker(s) each"
    assert "`--set sweep.lag=19` is another search, with 20" in plan.lines(64, None)[2]


def test_slots_beyond_the_runs_have_nothing_to_do(space: Space) -> None:
    assert make_plan(space).lines(16, None)[2] == "slots: 3 of 16, 1 worker(s) each"


def test_a_repetition_on_one_seed_has_no_interval(tmp_path: Path) -> None:
    plan = make_plan(load(tiny_file(tmp_path, ("seeds: [101, 102]", "seeds: [101]"))))
    assert plan.floor is None
    assert any("too few for an interval" in line for line in plan.lines(1, None))


def test_the_ratio_equals_an_analysis_of_variance_by_hand() -> None:
    # Means 1, 4, 7: their variance is 9. Within a row of two at distance 2 the variance is 2. So the configurations
    # have 9 - 2 / 2 = 8, over 2: a ratio of 2.
    rows = ((0.0, 2.0), (3.0, 5.0), (6.0, 8.0))
    assert Probe(FINE, rows, 1.0).ratio(rows) == pytest.approx(2.0)


def test_the_ratio_at_the_ends() -> None:
    found = Probe(FINE, ((0.0, 1.0),), 1.0)
    assert found.ratio([(0.0, 1.0), (0.0, 1.0)]) is None
    assert found.ratio([(0.0, 2.0), (0.0, 2.0), (0.0, 2.0)]) == 0.0
    assert found.ratio([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]) == math.inf
    assert found.ratio([(1.0, 1.0)] * 3) == 0.0


def _planted(configuration: float, seed: float, count: int = 60, seeds: int = 6) -> Probe:
    draw = random.Random(1)
    rows = []
    for _ in range(count):
        level = draw.uniform(-1, 1) * configuration * math.sqrt(3)
        rows.append(tuple(level + draw.gauss(0, seed) for _ in range(seeds)))
    return Probe(FINE, tuple(rows), 1.0)


def test_planted_spreads_are_found_again() -> None:
    for planted in (0.5, 1.0, 4.0):
        found = _planted(planted, 1.0, count=400)
        assert found.ratio(found.values) == pytest.approx(planted, rel=0.15)


def test_the_verdict_follows_the_planted_spreads() -> None:
    assert "a search can pay" in _planted(10.0, 1.0).lines()[-1]
    assert "a search cannot pay" in _planted(0.2, 1.0).lines()[-1]
    # The whole space is wide only because of its bad half: half of it is equal but for seeds.
    draw = random.Random(3)
    rows = [tuple(draw.gauss(0, 1) - 8 * (n >= 20) * n / 20 for _ in range(4)) for n in range(40)]
    found = Probe(FINE, tuple(rows), 1.0)
    whole = found.ratio(found.values)
    assert whole is not None and whole > SEARCH_PAYS_FROM
    assert "among the good ones seeds drown" in found.lines()[-1]


def test_the_better_half_is_the_lower_one_for_a_metric_that_is_minimised() -> None:
    # High values are far apart and low ones are equal: only where high is better can a search pay in the better half.
    rows = tuple((level, level + 1) for level in (0.0, 0.1, 0.2, 40.0, 60.0, 80.0))
    assert "a search can pay" in Probe(FINE, rows, 1.0).lines()[-1]
    assert "among the good ones seeds drown" in Probe(ALIGNMENT, rows, 1.0).lines()[-1]


def test_too_few_configurations_give_no_verdict() -> None:
    rows = ((0.0, 1.0), (5.0, 6.0), (9.0, 9.5), (12.0, 13.0))
    assert "too few" in Probe(FINE, rows, 1.0).lines()[-1]
    assert "verdict" in Probe(FINE, (*rows, (15.0, 16.0)), 1.0).lines()[-1]


HOLES = [
    Hole("uniform", -1.0, 2.0),
    Hole("log_uniform", 0.01, 10.0),
    Hole("integer", 1, 4),
    Hole("log_integer", 1, 64),
    Hole("choice", options=(True, "x", 3)),
]


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: hole.kind)
def test_drawn_values_lie_in_their_hole(hole: Hole) -> None:
    draw = random.Random(0)
    for _ in range(500):
        hole.check(draw_value(hole, draw))


def test_whole_numbers_are_drawn_up_to_both_ends_alike() -> None:
    draw = random.Random(0)
    counts = Counter(draw_value(Hole("integer", 1, 4), draw) for _ in range(4000))
    assert sorted(counts) == [1, 2, 3, 4] and min(counts.values()) > 850
    assert {1, 2, 3, 63, 64} <= {draw_value(Hole("log_integer", 1, 64), draw) for _ in range(4000)}


def test_log_scales_are_drawn_on_their_own_scale() -> None:
    draw = random.Random(0)
    values = [draw_value(Hole("log_uniform", 0.01, 10.0), draw) for _ in range(2000)]
    assert sum(value < 10**-0.5 for value in values) == pytest.approx(1000, abs=100)


def test_probe_trials_share_their_seeds_and_are_the_same_again(space: Space) -> None:
    trials = list(probe_trials(space, 3, 2))
    assert trials == list(probe_trials(space, 3, 2))
    assert [(number, seed) for number, seed, _ in trials] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert trials[0][2].seeds == trials[2][2].seeds != trials[1][2].seeds
    assert trials[0][2].objective != trials[2][2].objective
    assert not {trials[0][2].seeds.init, trials[1][2].seeds.init} & {*space.repeat.seeds, 42}


def test_a_probe_that_trains(space: Space) -> None:
    seen: list[tuple[int, int, float]] = []
    found = probe(space, 3, 2, lambda done, of, score: seen.append((done, of, score)))
    assert [entry[:2] for entry in seen] == [(number, 6) for number in range(1, 7)]
    assert [score for row in found.values for score in row] == [entry[2] for entry in seen]
    assert all(0 <= entry[2] <= 1 for entry in seen)
    assert found.seconds > 0 and found.diverged == 0


def test_diverged_configurations_are_left_out_and_told(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def train(trial: Any, code: object) -> dict[str, float]:
        calls.append(trial)
        if len(calls) == 4:
            raise Diverged("the loss", epoch=1, step=2)
        return {FINE: math.nan if len(calls) == 5 else 0.5 + len(calls) / 100}

    monkeypatch.setattr(one_trial, "train", train)
    found = probe(space, 6, 2)
    assert len(calls) == 12 and len(found.values) == 4 and found.diverged == 2
    assert any("2 configurations that diverged" in line for line in found.lines())


def test_a_probe_without_any_score_is_an_error(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_trial, "train", lambda trial, code: {FINE: math.nan})
    with pytest.raises(RayconError, match="no configuration ended"):
        probe(space, 3, 2)


def test_one_seed_shows_nothing_about_seeds(space: Space) -> None:
    with pytest.raises(InvalidFile, match="at least 2 seeds"):
        probe(space, 3, 1)
