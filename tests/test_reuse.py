"""Finished runs are taken over by other studies where everything is equal, and only there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from raycon import cli, execution
from raycon.events import KINDS, parse
from raycon.execution import reusable_runs
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep
from raycon.repeating import repeat
from raycon.replication.bundle import write_bundle
from raycon.replication.verify import verify_bundle
from raycon.sealed import open_test_set
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import Space, loads
from raycon.studies import StudyResult, ablate, plan_study
from raycon.versions import installed_versions
from tests.tiny import FINE, without_ray

STUDY = """
name: tiny-study
trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, train_size: 160, validation_size: 100}
  encoder: {name: convnet, width: 4, depth: 3, projection: [16, 8]}
  objective:
    supcon: {weight: 0.7, temperature: 0.1}
    class_conditional_infonce: {weight: 0.3, temperature: 0.1}
    reconstruction: {weight: 1.0}
  training: {epochs: 2, batch_size: 32, learning_rate: 0.01}
  scores: [coarse_to_fine]
sweep: {maximize: validation/coarse_to_fine/accuracy, trials: 2}
ablation:
  plan: leave_one_out
  seeds: [1, 2]
  components:
    spread: {drop: [objective.class_conditional_infonce]}
    decoder: {drop: [objective.reconstruction]}
"""


def _space() -> Space:
    return loads(STUDY)


def _settings(out: Path) -> Settings:
    return Settings(out=out, tracking="off")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with one finished study: full, spread off, decoder off, with seeds 1 and 2."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        ablate(_space(), settings=_settings(out))
    return out


@pytest.fixture
def out(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, whose log names weights that are still there."""
    without_ray(monkeypatch)
    return Path(shutil.copytree(first, tmp_path / "out"))


def _second(out: Path, **more: Any) -> StudyResult:
    """Another study, of whose arms all but 'nothing' are there already."""
    given: dict[str, Any] = {"plan": "add_one_in", "seeds": (1, 2)}
    return ablate(_space(), settings=_settings(out), **given, **more)


def _reused(history: SweepHistory) -> list[RunRecord]:
    return [run for run in history.runs if run.reused is not None]


def test_equal_arms_are_taken_over_and_not_run(out: Path) -> None:
    (origin,) = (read_sweep(path.parent) for path in out.glob(f"*/{LOG_NAME}"))
    history = _second(out).history
    taken = _reused(history)
    assert {(run.values["configuration"], run.values["seed"]) for run in taken} == {
        (arm, seed) for arm in ("full", "spread", "decoder") for seed in (1, 2)
    }
    for run in taken:
        assert run.reused is not None and run.reused["sweep"] == origin.name and run.tries == []
        source = origin.run(run.reused["key"])
        assert (run.trial, run.metrics, run.epochs) == (source.trial, source.metrics, source.epochs)
    assert all(run.state == "complete" and run.tries for run in history.runs if run.reused is None)
    assert history.finished and len(history.runs) == 8


@pytest.mark.slow
def test_a_reused_run_has_the_scores_that_a_new_one_would_have(out: Path, tmp_path: Path) -> None:
    taken, again = _second(out).history, _second(tmp_path / "elsewhere").history
    assert _reused(again) == [] and len(_reused(taken)) == 6
    for one, other in zip(taken.runs, again.runs, strict=True):
        assert one.key == other.key and one.metrics[FINE] == other.metrics[FINE]


def test_nothing_is_trained_where_all_is_there(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.training.open_run", lambda *_: pytest.fail("a run was trained"))
    claims = {"c": {"effect": "leave_one_out", "of": ["spread"], "margin": 0.01}}
    result = ablate(_space(), settings=_settings(out), claims=claims)
    assert len(_reused(result.history)) == len(result.history.runs) == 6


@pytest.mark.slow
def test_the_switch_runs_everything_again(out: Path) -> None:
    assert _reused(_second(out, reuse=False).history) == []


@pytest.mark.parametrize("name", ["raycon", "torch", "commit", "data digits"])
def test_other_versions_and_data_are_never_mixed(out: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    versions = execution.versions_of
    monkeypatch.setattr(execution, "versions_of", lambda *told: versions(*told) | {name: "another"})
    study, space = plan_study(_space(), {"plan": "add_one_in", "seeds": (1, 2)})
    assert reusable_runs(study, _settings(out), space.code) == {}


def test_a_version_that_no_score_depends_on_may_differ(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = execution.versions_of
    monkeypatch.setattr(execution, "versions_of", lambda *told: versions(*told) | {"ray": "another"})
    study, space = plan_study(_space(), {"plan": "add_one_in", "seeds": (1, 2)})
    assert len(reusable_runs(study, _settings(out), space.code)) == 6


def test_a_log_without_content_hash_is_no_source(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "versions_of", lambda *told: installed_versions())
    study, space = plan_study(_space(), {"plan": "add_one_in", "seeds": (1, 2)})
    assert reusable_runs(study, _settings(out), space.code) == {}


def test_own_code_must_be_the_same(out: Path) -> None:
    from dataclasses import replace

    study, space = plan_study(_space(), {"plan": "add_one_in", "seeds": (1, 2)})
    assert reusable_runs(replace(study, code=("f" * 64,)), _settings(out), space.code) == {}


def test_a_run_without_its_weights_is_run_again(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logs name the weights where they were written: in the folder of the first study."""
    without_ray(monkeypatch)
    study, space = plan_study(_space(), {"plan": "add_one_in", "seeds": (1, 2)})
    found = reusable_runs(study, _settings(first), space.code)
    weights = Path(max(found[0].checkpoints.items())[1])
    moved = weights.rename(tmp_path / "moved")
    try:
        assert len(reusable_runs(study, _settings(first), space.code)) == len(found) - 1
    finally:
        moved.rename(weights)


def test_a_crash_while_runs_are_taken_over_is_made_up_for(out: Path) -> None:
    whole = _second(out)
    path = whole.folder / LOG_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    first_scored = next(i for i, line in enumerate(lines) if b'"kind":"scored"' in line)
    runs = whole.history.runs
    path.write_bytes(b"".join(lines[: first_scored + 1]))
    assert read_sweep(whole.folder).runs[0].last_epoch == 1
    again = _second(out).history
    assert [run.metrics[FINE] for run in again.runs] == [run.metrics[FINE] for run in runs]
    assert len(_reused(again)) == 6 and again.finished
    kinds = [event.kind for event in parse(path.read_bytes())[0]]
    assert kinds.count("reused") == 6 and set(kinds) <= set(KINDS)


def test_its_test_set_can_be_opened_and_it_can_be_bundled(out: Path, tmp_path: Path) -> None:
    result = _second(out)
    assert open_test_set(result.folder) == 1
    assert all(run.test for run in result.history.runs)
    write_bundle(result.folder, tmp_path / "b.zip", weights=True)
    checks = "\n".join(verify_bundle(tmp_path / "b.zip").checks)
    assert "weights: of 8 run(s)" in checks and "6 taken over from other logs" in checks


def test_plan_and_report_say_it(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny-study.yaml"
    file.write_text(STUDY.replace("leave_one_out", "add_one_in"))
    with pytest.raises(SystemExit):
        cli.main(["ablate", str(file), "--plan", "--out", str(out)])
    told = capsys.readouterr().out
    assert "reused: 6 of 8 runs are finished already (6 of tiny-study-ablation-" in told
    with pytest.raises(SystemExit):
        cli.main(["ablate", str(file), "--plan", "--no-reuse", "--out", str(out)])
    assert "reused" not in capsys.readouterr().out
    page = _second(out).report().read_text()
    assert "taken over and not run again" in page and "6 of tiny-study-ablation-" in page


def test_a_plan_reads_no_data_where_nothing_can_be_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "versions_of", lambda *told: pytest.fail("the data were read"))
    study, space = plan_study(_space())
    assert reusable_runs(study, _settings(tmp_path), space.code) == {}


@pytest.mark.slow
def test_more_seeds_of_a_repetition_take_over_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tiny import TINY

    without_ray(monkeypatch)
    winner = sweep(loads(TINY, name="tiny"), trials=2, settings=_settings(tmp_path)).best()
    few = repeat(winner, seeds=(101, 102)).history
    more = repeat(winner, seeds=(101, 102, 103)).history
    assert len(_reused(more)) == len(few.runs) == 4 and len(more.runs) == 6
    assert json.loads((more.folder / "sweep.json").read_text())["canonical"]["seeds"] == [101, 102, 103]  # type: ignore[operator]
