"""What reports read from a log: the best run by the metric's own direction, the Pareto front, the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raycon.disk import RealDisk
from raycon.errors import InvalidFile, RayconError
from raycon.events import DamagedLog, EventLog, plain_metrics
from raycon.history import SweepHistory, read_sweep

ACCURACY, ALIGNMENT = "validation/linear_probe/accuracy", "validation/geometry/alignment"


def write_log(
    folder: Path, runs: list[tuple[str, float, float]], maximize: tuple[str, ...] = (ACCURACY,), **more: Any
) -> SweepHistory:
    """A log with one finished run for each (state, accuracy, alignment)."""
    log = EventLog(RealDisk(), folder / "events.jsonl", clock=lambda: 50.0)
    log.open()
    log.append(
        "opened",
        attempt=1,
        identity="id",
        name="sweep",
        objectives={"maximize": list(maximize), "minimize": more.get("minimize", [])},
        trials=len(runs),
        versions={},
        host="h",
        pid=1,
        created=2.0,
        session="",
    )
    for number, (state, accuracy, alignment) in enumerate(runs):
        metrics = plain_metrics({ACCURACY: accuracy, ALIGNMENT: alignment})
        trial = {"training": {"epochs": 2}}
        log.append("asked", number=number, key=f"k{number}", values={"x": number}, trial=trial, seeds={"init": 1})
        if state != "unfinished":
            log.append("started", **{"key": f"k{number}", "attempt": 1, "try": 1})
            log.append("scored", key=f"k{number}", epoch=1, metrics=metrics, checkpoint=f"/{number}", done=False)
            log.append("finished", key=f"k{number}", state=state, epoch=1, metrics=metrics, reason=None)
    log.sync()
    return read_sweep(folder)


def test_the_best_run_follows_the_direction_of_the_metric(tmp_path: Path) -> None:
    runs = [("complete", 0.5, 0.1), ("complete", 0.7, 0.9), ("pruned", 0.9, 0.0), ("complete", 0.7, 0.3)]
    history = write_log(tmp_path, runs)
    best = history.best()
    assert best is not None and best.number == 1
    assert [history.best(name).number for name in (ACCURACY, ALIGNMENT)] == [1, 0]  # type: ignore[union-attr]


def test_only_full_budget_runs_with_finite_values_are_chosen(tmp_path: Path) -> None:
    runs = [("failed", 0.9, 0.1), ("diverged", 0.9, 0.1), ("complete", float("nan"), 0.1), ("unfinished", 0.9, 0.1)]
    history = write_log(tmp_path, runs)
    assert history.best() is None and history.pareto_front() == []
    assert history.counts() == {"failed": 1, "diverged": 1, "complete": 1, "unfinished": 1}
    assert not history.finished


def test_the_front_holds_what_nobody_beats(tmp_path: Path) -> None:
    runs = [
        ("complete", 0.5, 0.1),
        ("complete", 0.7, 0.9),
        ("complete", 0.6, 0.9),
        ("pruned", 0.9, 0.0),
        ("complete", 0.7, 0.9),
        ("complete", 0.4, 0.1),
    ]
    history = write_log(tmp_path, runs, minimize=[ALIGNMENT])
    assert [run.number for run in history.pareto_front()] == [0, 1, 4]
    assert [run.number for run in history.pareto_front([ALIGNMENT])] == [0, 5]
    with pytest.raises(InvalidFile, match="name one of the objectives"):
        history.best()


def test_what_may_not_select_is_refused(tmp_path: Path) -> None:
    history = write_log(tmp_path, [("complete", 0.5, 0.1)])
    for name in ("test/linear_probe/accuracy", "train/objective/total", "validation/groups/missing", "accuracy"):
        with pytest.raises(InvalidFile):
            history.best(name)


def test_records_say_what_the_log_says(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"canonical": {"trial": 1}}')
    history = write_log(tmp_path, [("complete", 0.5, float("inf"))])
    run = history.run("k0")
    assert (run.number, run.values, run.seeds, run.trial) == (0, {"x": 0}, {"init": 1}, {"training": {"epochs": 2}})
    assert run.course(ALIGNMENT) == {1: float("inf")} and run.checkpoint == "/0" and run.tries == [(1, 1)]
    assert (run.asked_at, run.started_at, run.ended_at, run.total_epochs) == (50.0, 50.0, 50.0, 2)
    assert history.finished and history.canonical == {"trial": 1} and history.folder == tmp_path
    assert history.run("k0") is history.runs[0]


def test_a_torn_tail_is_not_read_and_not_removed(tmp_path: Path) -> None:
    write_log(tmp_path, [("complete", 0.5, 0.1)])
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    assert not read_sweep(tmp_path).finished
    assert path.read_bytes() == before


def test_a_folder_without_a_sweep_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RayconError, match="holds no sweep"):
        read_sweep(tmp_path)


@pytest.mark.parametrize("content", [b"garbage", b"garbage\nmore\n", bytes(50), b'{"seq":0,"time":1.0,"ki'])
def test_a_log_of_which_nothing_can_be_read_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.jsonl").write_bytes(content)
    with pytest.raises(DamagedLog, match=r"events\.jsonl is damaged: not even its first event"):
        read_sweep(tmp_path)


def test_an_empty_log_holds_no_events_yet(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(RayconError, match=r"events\.jsonl holds no events yet"):
        read_sweep(tmp_path)


def test_a_log_that_contradicts_itself_is_an_error(tmp_path: Path) -> None:
    write_log(tmp_path, [("complete", 0.5, 0.1)])
    log = EventLog(RealDisk(), tmp_path / "events.jsonl", clock=lambda: 50.0)
    log.open()
    log.append("finished", key="k0", state="failed", epoch=1, metrics={}, reason=None)
    log.sync()
    with pytest.raises(RayconError, match="finishes run k0 twice"):
        read_sweep(tmp_path)


def test_log_scaled_holes_of_a_named_option_lie_at_the_path_of_their_choice() -> None:
    options = {"none": {"weight": 0}, "some": {"weight": {"log_integer": [1, 9]}, "depth": {"integer": [1, 2]}}}
    trial = {"objective": {"spread": {"choice": options}}, "training": {"learning_rate": {"log_uniform": [1e-4, 1.0]}}}
    found = SweepHistory(canonical={"trial": trial}).logarithmic_paths()
    assert found == {"objective.spread.weight", "training.learning_rate"}
