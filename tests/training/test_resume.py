"""An interrupted run that goes on equals one that was never interrupted, bit for bit on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raycon.config import Trial
from raycon.datasets import load_tables
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.chunked import InChunks
from raycon.runs import Progress, Scored, World
from raycon.state import State
from raycon.training import TrainingRun, open_run, train
from tests.training.trials import small_trial


@pytest.fixture(autouse=True)
def _progress_every_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.training.STEPS_BETWEEN_PROGRESS", 2)


def _finish(trial: Trial) -> tuple[State, list[Progress | Scored]]:
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    state = State(trial)
    return state, list(train(trial, tables, state, World()))


def _comparable(events: list[Progress | Scored]) -> list[tuple[object, ...]]:
    """Everything of the events but the wall time."""
    return [
        (type(e).__name__, e.epoch, {k: v for k, v in e.metrics.items() if not k.startswith("train/speed/")})
        for e in events
    ]


def _finish_in_pieces(trial: Trial, folder: Path) -> tuple[State, list[Progress | Scored]]:
    """As `_finish`, but that the run is saved, closed and rebuilt from what was saved whenever it yields."""
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    events: list[Progress | Scored] = []
    state = State(trial)
    while True:
        event = next(train(trial, tables, state, World()), None)
        if event is None:
            return state, events
        events.append(event)
        state.save(folder / f"yield-{len(events)}")
        torch.manual_seed(len(events))
        state = State(trial)
        state.load(folder / f"yield-{len(events)}")


def _compare_with_whole(trial: Trial, folder: Path) -> State:
    """The state of a run in pieces, which is that of an uninterrupted one."""
    whole, expected = _finish(trial)
    state, events = _finish_in_pieces(trial, folder)
    assert len([e for e in events if isinstance(e, Progress)]) == 4
    assert _comparable(events) == _comparable(expected)
    for name, value in whole.step.state_dict().items():
        assert torch.equal(value, state.step.state_dict()[name]), name
    return state


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "lars"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_saving_closing_and_rebuilding_at_every_yield_changes_nothing(
    tmp_path: Path, optimiser: str, precision: str
) -> None:
    _compare_with_whole(small_trial(training__optimiser=optimiser, training__precision=precision), tmp_path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nor_does_it_where_images_come_in_chunks(tmp_path: Path, precision: str) -> None:
    """With batch normalisation, whose running statistics every chunk has a part in, and with networks that keep what
    they have seen: a second encoder with the losses of every image, and a queue of features."""
    objective: dict[str, object] = {"weighted_cross_entropy": {}, "nearest_neighbour_infonce": {}}
    quick = {"scores": {"nearest_neighbours": {}}, "encoder__width": 2}
    trial = small_trial(objective=objective, training__chunk=40, training__precision=precision, **quick)
    state = _compare_with_whole(trial, tmp_path)
    assert any(isinstance(module, GlobalBatchNorm) for module in state.step.encoder.modules())
    assert {module.chunk for module in state.step.modules() if isinstance(module, InChunks)} == {40}
    assert {"lff", "support_queue"} <= set(state.step.auxiliaries)


def test_a_run_does_not_depend_on_what_ran_before_it_in_the_process() -> None:
    trial = small_trial()
    alone, first = _finish(trial)
    _finish(small_trial(seeds__init=5, objective__supcon__temperature=0.5))
    again, second = _finish(trial)
    assert _comparable(first) == _comparable(second)
    assert all(torch.equal(a, b) for a, b in zip(alone.step.parameters(), again.step.parameters(), strict=True))


def test_each_seed_changes_its_own_part() -> None:
    base = small_trial(training__epochs=1)
    start = State(base).step.state_dict()
    other_init = State(small_trial(training__epochs=1, seeds__init=1)).step.state_dict()
    assert any(not torch.equal(start[name], other_init[name]) for name in start)
    other_order = small_trial(training__epochs=1, seeds__order=1)
    assert all(torch.equal(start[name], value) for name, value in State(other_order).step.state_dict().items())
    assert _comparable(_finish(base)[1]) != _comparable(_finish(other_order)[1])


def test_the_last_result_of_a_checkpoint_is_told_again(tmp_path: Path) -> None:
    trial = small_trial()
    tables = load_tables(trial.data, split_seed=0)
    run = TrainingRun(trial, tables, World(), None)
    first = next(e for e in run.events if isinstance(e, Scored))
    run.save(tmp_path / "attempt-1" / "epoch-0001")
    run.close()
    resumed = TrainingRun(trial, tables, World(), tmp_path / "attempt-1" / "epoch-0001")
    assert next(resumed.events) == first


def test_runs_are_opened_without_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    from raycon.space import trial_to_plain

    seen: list[set[str]] = []
    original = load_tables

    def watch(*args: object, **options: object) -> object:
        tables = original(*args, **options)  # type: ignore[arg-type]  # passed through
        seen.append(set(tables))
        return tables

    monkeypatch.setattr("raycon.training.load_tables", watch)
    open_run({"trial": trial_to_plain(small_trial()), "resume": None}, World())
    assert seen == [{"train", "validation"}]
