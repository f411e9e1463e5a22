"""Winner and rivals on fresh seeds: the list of runs, refusals, and paired differences worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from raycon.config import Repeat, Seeds, Sweep, Trial
from raycon.errors import InvalidFile, Refused
from raycon.repeats import (
    Listed,
    ListSampler,
    by_configuration,
    check_fresh,
    check_score,
    paired_differences,
    score_of,
)
from tests.reporting.synthetic import ALIGNMENT, FINE, write_repeat
from tests.training.trials import small_trial

TRIALS = {
    name: Trial(objective={"supcon": {"temperature": value}}) for name, value in (("winner", 0.1), ("plain", 0.5))
}


def listed(**changes: object) -> Listed:
    given = {"of": "thanos", "configurations": TRIALS, "seeds": (7, 8, 9), "score": FINE} | changes
    return Listed(**given)  # type: ignore[arg-type]


def test_runs_are_listed_seed_by_seed_so_that_pairs_end_together() -> None:
    runs = [(run["seed"], run["configuration"]) for run in listed().runs]
    assert runs == [(7, "winner"), (7, "plain"), (8, "winner"), (8, "plain"), (9, "winner"), (9, "plain")]


def test_a_pair_shares_split_weights_and_order() -> None:
    ours, theirs = (listed().trial({"configuration": name, "seed": 8}) for name in TRIALS)
    assert ours.seeds == theirs.seeds == Seeds(split=8, init=8, order=8)
    assert ours.objective == TRIALS["winner"].objective != theirs.objective


def test_identity_and_name_follow_what_the_result_depends_on() -> None:
    again = listed(seeds=(7, 8, 9))
    assert again.identity() == listed().identity() and again.name == listed().name
    others = [
        listed(seeds=(7, 8)),
        listed(score=ALIGNMENT),
        listed(of="other"),
        listed(configurations={**TRIALS, "winner": TRIALS["plain"]}),
        listed(configurations={"winner": TRIALS["winner"], "plain2": TRIALS["plain"]}),
    ]
    names = {listed().identity(), *(other.identity() for other in others)}
    assert len(names) == 6
    assert listed().name == f"thanos-repeat-{listed().identity()[:8]}"


def test_the_name_of_a_long_sweep_stays_a_file_name() -> None:
    assert len(listed(of="x" * 300).name) < 64


def test_the_listed_sweep_runs_everything_at_once_in_the_metrics_own_direction() -> None:
    sweep = listed().sweep(Sweep(workers=2, retries=5))
    assert (sweep.trials, sweep.lag, sweep.workers, sweep.retries) == (6, 6, 2, 5)
    assert sweep.maximize == (FINE,) and not sweep.minimize
    assert listed(score=ALIGNMENT).sweep(Sweep()).minimize == (ALIGNMENT,)


def test_the_sampler_answers_from_the_list_and_refuses_another_past() -> None:
    sampler = ListSampler(listed())
    assert sampler.ask(3) == {"configuration": "plain", "seed": 8}
    sampler.restore(3, {"configuration": "plain", "seed": 8})
    with pytest.raises(Refused, match="run 3 was"):
        sampler.restore(3, {"configuration": "winner", "seed": 8})


def test_seeds_that_chose_are_refused() -> None:
    chosen = [Trial(objective={}, seeds=Seeds(split=1, init=2, order=3))]
    for seed in (1, 2, 3):
        with pytest.raises(Refused) as error:
            check_fresh([100, seed], chosen)
        assert error.value.exit_code == 5 and str(seed) in str(error.value)
    check_fresh([4, 5, 6], chosen)
    with pytest.raises(InvalidFile, match="twice"):
        check_fresh([4, 4], chosen)


def test_the_compared_score_is_the_files_or_the_first_objective() -> None:
    assert score_of(Repeat(score=ALIGNMENT), Sweep(maximize=(FINE,))) == ALIGNMENT
    assert score_of(Repeat(), Sweep(maximize=(FINE,), minimize=(ALIGNMENT,))) == FINE
    with pytest.raises(InvalidFile, match=r"repeat\.score"):
        score_of(Repeat(), Sweep())


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ("validation/coarse_to_fine/acuracy", "did you mean"),
        ("test/coarse_to_fine/accuracy", "report --test"),
        ("train/objective/total", "trained on"),
        ("validation/groups/missing", "neither more nor less"),
        ("validation/groups/worst_accuracy", "among the trial's scores"),
    ],
)
def test_a_score_that_cannot_be_compared_is_refused(score: str, reason: str) -> None:
    with pytest.raises(InvalidFile, match=reason) as error:
        check_score(score, [Trial(objective={}, scores={"coarse_to_fine": {}})])
    assert error.value.field == "repeat.score"


def test_differences_equal_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    # Differences 1, 2, 3: mean 2, sd 1; for 2 degrees of freedom t(p) = (2p - 1) / sqrt(2p (1 - p)); p = 2 / 2^3.
    scores = {"winner": {1: 2.0, 2: 4.0, 3: 6.0}, "plain": {1: 1.0, 2: 2.0, 3: 3.0}}
    (difference,) = paired_differences(write_repeat(tmp_path / "r", "s", scores), FINE)
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    assert difference.seeds == (1, 2, 3) and difference.differences == (1.0, 2.0, 3.0)
    assert difference.interval is not None
    assert difference.interval.low == pytest.approx(2 - half, rel=1e-12)
    assert difference.interval.high == pytest.approx(2 + half, rel=1e-12)
    assert difference.p == 0.25
    assert difference.line == (
        "winner - plain: +2.0000, 95 % interval [-0.4841, +4.4841] (not shown), n = 3 paired seeds, "
        "sign-flip p = 0.250 (floor 0.250)"
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_is_shown_when_its_interval_leaves_out_zero(tmp_path: Path, sign: int) -> None:
    gains = {1: 0.10, 2: 0.11, 3: 0.12, 4: 0.105}
    scores = {"winner": {s: 0.5 + sign * g for s, g in gains.items()}, "plain": dict.fromkeys(gains, 0.5)}
    (difference,) = paired_differences(write_repeat(tmp_path / "r", "s", scores), FINE)
    assert ("(shown)" if sign == 1 else "(shown to be worse)") in difference.line


def test_equal_runs_show_nothing(tmp_path: Path) -> None:
    scores = {"winner": {1: 0.5, 2: 0.7}, "plain": {1: 0.5, 2: 0.7}}
    (difference,) = paired_differences(write_repeat(tmp_path / "r", "s", scores), FINE)
    assert "(not shown)" in difference.line and difference.p == 1.0


def test_lost_pairs_are_told_with_their_reasons(tmp_path: Path) -> None:
    scores: dict[str, dict[int, float | str]] = {
        "winner": {1: 0.5, 2: 0.6, 3: "failed", 4: 0.7, 5: 0.9, 6: 0.8},
        "plain": {1: 0.4, 2: "diverged", 3: "unfinished", 4: 0.5, 5: math.nan},
    }
    (difference,) = paired_differences(write_repeat(tmp_path / "r", "s", scores), FINE)
    assert difference.seeds == (1, 4)
    assert difference.lost == (
        "seed 2: plain diverged",
        "seed 3: winner failed, plain unfinished",
        "seed 5: plain is nan",
        "seed 6: plain not begun",
    )
    assert "; 4 of 6 pairs lost (seed 2: plain diverged; " in difference.line


def test_a_single_pair_gives_no_interval_but_says_what_is_lost(tmp_path: Path) -> None:
    scores: dict[str, dict[int, float | str]] = {"winner": {1: 0.5, 2: 0.6}, "plain": {1: 0.4, 2: "out_of_memory"}}
    (difference,) = paired_differences(write_repeat(tmp_path / "r", "s", scores), FINE)
    assert difference.interval is None and difference.p is None
    assert difference.line == (
        "winner - plain: 1 paired seed(s), too few for an interval; 1 of 2 pairs lost (seed 2: plain out of memory)"
    )


def test_every_rival_is_compared_with_the_first(tmp_path: Path) -> None:
    scores = {"winner": {1: 0.5, 2: 0.6}, "one": {1: 0.4, 2: 0.6}, "two": {1: 0.1, 2: 0.1}}
    history = write_repeat(tmp_path / "r", "s", scores)
    found = [(d.name, d.rival) for d in paired_differences(history, FINE)]
    assert found == [("winner", "one"), ("winner", "two")]
    alone = write_repeat(tmp_path / "alone", "s", {"winner": {1: 0.5, 2: 0.6}})
    assert paired_differences(alone, FINE) == []


def test_test_scores_are_compared_apart(tmp_path: Path) -> None:
    scores = {"winner": {1: 0.5, 2: 0.6}, "plain": {1: 0.5, 2: 0.6}}
    test = {"winner": {1: 0.9, 2: 0.8}, "plain": {1: 0.7}}
    history = write_repeat(tmp_path / "r", "s", scores, test=test)
    (difference,) = paired_differences(history, FINE.replace("validation", "test"), test=True)
    assert difference.differences == pytest.approx((0.2,))
    assert difference.lost == ("seed 2: plain has no test score",)


def test_runs_are_found_by_configuration_and_seed(tmp_path: Path) -> None:
    history = write_repeat(tmp_path / "r", "s", {"winner": {5: 0.5, 3: 0.6}, "plain": {5: 0.1, 3: 0.2}})
    runs = by_configuration(history)
    assert list(runs) == ["winner", "plain"] and list(runs["winner"]) == [5, 3]
    assert runs["plain"][3].metrics[FINE] == 0.2


def test_a_score_that_the_data_cannot_give_is_refused() -> None:
    trial = small_trial(data__groups=["class"], scores={"groups": {}})
    with pytest.raises(InvalidFile, match="agrees with or not"):
        check_score("validation/groups/conflicting_accuracy", [trial])
    check_score("validation/groups/worst_accuracy", [trial])


@pytest.mark.parametrize(("seeds", "reason"), [([], "one seed at least"), ([3, -1], "-1 is below 0")])
def test_seeds_that_are_none_are_refused(seeds: list[int], reason: str) -> None:
    with pytest.raises(InvalidFile, match=reason):
        check_fresh(seeds, [])


def test_several_rivals_share_the_error_rate(tmp_path: Path) -> None:
    gains = {1: 0.02, 2: 0.05, 3: 0.03, 4: 0.01}
    plain = {seed: 0.5 for seed in gains}
    scores = {"winner": {s: 0.5 + g for s, g in gains.items()}, "one": plain, "two": plain, "three": plain}
    alone = paired_differences(
        write_repeat(tmp_path / "a", "s", {name: scores[name] for name in ("winner", "one")}), FINE
    )
    among = paired_differences(write_repeat(tmp_path / "b", "s", scores), FINE)
    assert alone[0].adjusted_p is not None and 0.05 / 3 < alone[0].adjusted_p < 0.05
    assert "(shown)" in alone[0].line and "Holm" not in alone[0].line
    assert [one.adjusted_p for one in among] == pytest.approx([3 * alone[0].adjusted_p] * 3)
    assert all("(not shown), Holm p = " in one.line and "over 3 rivals" in one.line for one in among)
