"""Replications: which runs are picked, what is expected of them, and how often a true result is called false."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raycon import cli
from raycon.errors import InvalidFile
from raycon.history import RunRecord, SweepHistory, read_sweep
from raycon.repeating import repeat
from raycon.replication.bundle import write_bundle
from raycon.replication.rerun import (
    Pick,
    Replication,
    judge_replication,
    pick_runs,
    plan_replication,
    run_replication,
)
from raycon.replication.verify import verify_bundle
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import load
from raycon.statistics import prediction_interval
from tests.replication.made_up import repetition, search, trial
from tests.tiny import FINE, tiny_file, without_ray


def _stored(configurations: int = 3, seeds: int = 4) -> SweepHistory:
    """Complete runs of each configuration with each seed."""
    runs = []
    for number in range(configurations * seeds):
        seed, width = divmod(number, configurations)
        chosen = {"split": seed, "init": seed, "order": seed}
        plain = {"encoder": {"width": width}, "seeds": chosen}
        run = RunRecord(number, f"{number:04d}-{number:08x}", {}, plain, chosen, 0.0, state="complete")
        run.metrics = {FINE: width + seed / 100}
        runs.append(run)
    return SweepHistory(runs=runs)


def _again(listed: Replication, values: Mapping[str, float | str]) -> SweepHistory:
    """The new runs with these scores, or states."""
    runs = []
    for number, run in enumerate(listed.runs):
        value = values.get(run["configuration"], "unfinished")
        record = RunRecord(number, f"{number:04d}-x", run, {}, {}, 0.0)
        record.state = value if isinstance(value, str) else "complete"
        record.metrics = {FINE: value} if not isinstance(value, str) else {}
        runs.append(record)
    return SweepHistory(runs=runs)


def _listed(*picks: Pick) -> Replication:
    return Replication("x", {pick.key: trial() for pick in picks}, (), FINE, picks=picks)


def _fresh(key: str, *known: float) -> Pick:
    return Pick(key, known[0], known, {"split": 9, "init": 9, "order": 9}, True, {})


def _same(key: str, stored: float) -> Pick:
    return Pick(key, stored, (stored,), {"split": 1, "init": 1, "order": 1}, False, {})


def test_picks_are_spread_over_configurations() -> None:
    history = _stored()
    for seed in range(20):
        picks = pick_runs(history, FINE, 7, seed)
        widths = [pick.plain["encoder"]["width"] for pick in picks]
        assert sorted(widths[:3]) == sorted(widths[3:6]) == [0, 1, 2]
        assert len({pick.key for pick in picks}) == 7
        assert pick_runs(history, FINE, 4, seed) == picks[:4] == pick_runs(_stored(), FINE, 4, seed)
    assert len({tuple(pick.key for pick in pick_runs(history, FINE, 3, seed)) for seed in range(20)}) > 10


def test_seeds_are_fresh_where_there_are_several() -> None:
    history = _stored()
    picks = pick_runs(history, FINE, 12, 0)
    new = [set(pick.seeds.values()) for pick in picks]
    assert all(pick.fresh and len(seeds) == 1 for pick, seeds in zip(picks, new, strict=True))
    assert len(set.union(*new)) == 12 and not set.union(*new) & {0, 1, 2, 3}
    assert all(pick.known == tuple(pick.plain["encoder"]["width"] + s / 100 for s in range(4)) for pick in picks)


def test_only_seeds_that_varied_are_drawn_anew() -> None:
    history = _stored(1, 2)
    for run in history.runs:
        run.seeds = {"split": 5, "init": run.number, "order": 5}
    seeds = pick_runs(history, FINE, 1, 0)[0].seeds
    assert seeds["split"] == seeds["order"] == 5 and seeds["init"] not in (0, 1, 5)


def test_a_single_run_keeps_its_seeds() -> None:
    history = _stored(2, 1)
    # The same configuration with the same seeds once more is no second seed.
    history.runs.append(replace(history.runs[0], number=2, key="0002-00000002"))
    picks = pick_runs(history, FINE, 2, 0)
    assert [pick.fresh for pick in picks] == [False, False]
    assert all(dict(pick.seeds) == {"split": 0, "init": 0, "order": 0} for pick in picks)


def test_only_complete_runs_are_picked() -> None:
    history = _stored(2, 2)
    history.runs[0].state = "pruned"
    history.runs[1].metrics = {FINE: float("nan")}
    assert len(pick_runs(history, FINE, 2, 0)) == 2
    for count in (0, 3):
        with pytest.raises(InvalidFile, match="between 1 and 2"):
            pick_runs(history, FINE, count, 0)


def test_inside_and_outside() -> None:
    known = (0.70, 0.72, 0.71, 0.74)
    low, high = prediction_interval(known)
    listed = _listed(_fresh("a", *known), _fresh("b", *known))
    found = judge_replication(listed, _again(listed, {"a": low, "b": high}), SweepHistory())
    assert found.verdict == "replicated" and [row["result"] for row in found.rows()] == ["inside", "inside"]
    # Outside on its own, which may be by chance, but inside of what holds for two together.
    found = judge_replication(listed, _again(listed, {"a": low - 0.001, "b": 0.72}), SweepHistory())
    assert found.verdict == "replicated" and found.rows()[0]["result"] == "outside"
    assert "1 of 2 outside" in found.lines()[1] and "0.1 expected by chance" in found.lines()[1]
    found = judge_replication(listed, _again(listed, {"a": 0.2, "b": 0.72}), SweepHistory())
    assert found.verdict == "not replicated" and "run a" in found.reason
    found = judge_replication(listed, _again(listed, {"a": "diverged", "b": 0.72}), SweepHistory())
    assert found.verdict == "not replicated"


@pytest.mark.parametrize("state", ["failed", "out_of_memory", "unfinished"])
def test_what_has_no_result_resolves_nothing(state: str) -> None:
    listed = _listed(_fresh("a", 0.7, 0.8), _same("b", 0.5))
    found = judge_replication(listed, _again(listed, {"a": 0.75, "b": state}), SweepHistory())
    assert found.verdict == "unresolved" and "run b" in found.reason
    assert judge_replication(listed, SweepHistory(), SweepHistory()).verdict == "unresolved"


def test_the_same_seeds_are_compared_to_the_last_bit() -> None:
    listed = _listed(_same("a", 0.5), _same("b", 0.25))
    found = judge_replication(listed, _again(listed, {"a": 0.5, "b": 0.25}), SweepHistory())
    assert found.verdict == "replicated" and "2 of 2 equal" in "".join(found.lines())
    found = judge_replication(listed, _again(listed, {"a": 0.5, "b": float(np.nextafter(0.25, 1))}), SweepHistory())
    assert found.verdict == "unresolved" and "run b" in found.reason
    assert str(found.rows()[1]["result"]).startswith("differs by +")


def test_runs_of_one_population_are_seldom_called_not_replicated() -> None:
    """Size, by simulation: six reruns of three configurations, two of which share each interval."""
    draw = np.random.default_rng(3)
    times, false, outside = 600, 0, 0
    for _ in range(times):
        stored = draw.normal(size=(3, 5))
        picks = [_fresh(f"{number}", *stored[number % 3]) for number in range(6)]
        listed = Replication("x", {}, (), FINE, picks=tuple(picks))
        found = judge_replication(listed, _again(listed, {pick.key: draw.normal() for pick in picks}), SweepHistory())
        false += found.verdict != "replicated"
        outside += sum(row["result"] == "outside" for row in found.rows())
    # Three standard errors of a share of 0.05 over so many: 0.027 of replications, 0.011 of runs.
    assert false / times <= 0.05 + 0.027
    assert abs(outside / (6 * times) - 0.05) <= 0.015


def test_another_population_is_called_so() -> None:
    draw = np.random.default_rng(4)
    seen = 0
    for _ in range(100):
        picks = [_fresh(f"{number}", *draw.normal(size=5)) for number in range(4)]
        listed = Replication("x", {}, (), FINE, picks=tuple(picks))
        moved = {pick.key: draw.normal(8) for pick in picks}
        seen += judge_replication(listed, _again(listed, moved), SweepHistory()).verdict == "not replicated"
    assert seen >= 90


def test_changed_versions_are_told(tmp_path: Path) -> None:
    stored = read_sweep(search(tmp_path, lambda values: 0.5))
    other = read_sweep(tmp_path / "tiny")
    other.attempts[-1].versions = {"raycon": "0.1.0", "torch": "3.0\x1b[1m"}
    listed = _listed(_same("a", 0.5))
    found = judge_replication(listed, replace(other, runs=_again(listed, {"a": 0.5}).runs), stored)
    assert found.changed == ("torch 2.14.0 -> 3.0 [1m",)


def test_the_plan_is_a_list_of_its_own(tmp_path: Path) -> None:
    write_bundle(repetition(tmp_path, lambda values: 0.5 + values["seed"] / 100), tmp_path / "b.zip")
    found = verify_bundle(tmp_path / "b.zip")
    few, more = plan_replication(found, 2)[0], plan_replication(found, 5)[0]
    assert more.runs[:2] == few.runs and more.identity() == few.identity()
    assert few.name.startswith(found.history.name) and few.name.rpartition("-")[0].endswith("-replicate")
    assert plan_replication(found, 2, seed=1)[0].identity() != few.identity()
    for values in more.runs:
        pick = next(pick for pick in more.picks if pick.key == values["configuration"])
        assert more.trial(values).seeds.split == values["seed"] == pick.seeds["split"]
    with pytest.raises(InvalidFile, match="--trials"):
        plan_replication(found, 7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of a search and its repetition, trained for real."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        found = sweep(load(tiny_file(folder)), settings=Settings(out=folder / "out", tracking="off"))
        write_bundle(found.folder, folder / "search.zip")
        write_bundle(repeat(found.best()).folder, folder / "repetition.zip", weights=True)
    return folder


def test_a_search_gives_the_same_bits_again(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    bundle = verify_bundle(trained / "search.zip")
    listed, code = plan_replication(bundle, 2)
    history = run_replication(listed, code, Settings(out=tmp_path, tracking="off"))
    found = judge_replication(listed, history, bundle.history)
    assert found.verdict == "replicated" and [row["result"] for row in found.rows()] == ["equal", "equal"]
    log = (tmp_path / listed.name / "events.jsonl").read_bytes()
    run_replication(listed, code, Settings(out=tmp_path, tracking="off"))
    assert (tmp_path / listed.name / "events.jsonl").read_bytes() == log
    longer, _ = plan_replication(bundle, 3)
    assert len(run_replication(longer, code, Settings(out=tmp_path, tracking="off")).complete(FINE)) == 3
    write_bundle(tmp_path / listed.name, tmp_path / "again.zip")
    assert verify_bundle(tmp_path / "again.zip").kind == "replication"


def test_the_command(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_ray(monkeypatch)
    arguments = ["replicate", str(trained / "repetition.zip"), "--trials", "2", "--out", str(tmp_path)]

    def told(*more: str) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main([*arguments, "--tracking", "off", "--quiet", *more])
        assert end.value.code == 0
        return capsys.readouterr().out

    rows: list[dict[str, Any]] = [json.loads(line) for line in told("--json").splitlines()]
    assert [row["seeds"] for row in rows[:2]] == ["fresh", "fresh"] and len(rows) == 3
    assert rows[2]["verdict"] in ("replicated", "not replicated") and rows[2]["score"] == FINE
    out = told()
    assert "verdict: " in out and "of 2 outside of the 95% prediction interval" in out
    page = Path(out.splitlines()[-1].removeprefix("report: "))
    assert "verdict: " in page.read_text() and page.with_suffix(".csv").is_file()
    assert verify_bundle(trained / "repetition.zip").checks[-1].startswith("weights: of 4 run(s)")
