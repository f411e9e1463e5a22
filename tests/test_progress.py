"""The progress display: what it says, how often, and how it reckons the time left. Time is a list of numbers here."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from raycon.progress import SweepProgress, duration

SCORE = "validation/linear_probe/accuracy"


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A progress display on a recorded console, and the events of runs."""

    def __init__(self, *, terminal: bool = False, total: int = 4, epochs: int = 4, slots: int = 1, **options: Any):
        self.clock, self.stream = Clock(), io.StringIO()
        console = Console(file=self.stream, force_terminal=terminal, width=110, color_system=None)
        self.progress = SweepProgress(
            total, epochs, [(SCORE, True)], slots, console=console, stream=self.stream, clock=self.clock, **options
        )

    def start(self, number: int, **more: Any) -> None:
        self.progress.on_event({"kind": "started", "key": f"k{number}", "number": number, **more})

    def opened(self, total: int, *values: float) -> None:
        ended = [{"number": i, "state": "complete", "metrics": {SCORE: value}} for i, value in enumerate(values)]
        self.progress.on_event({"kind": "opened", "total": total, "ended": ended})

    def score(self, number: int, epoch: int, value: float, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.progress.on_event({"kind": "scored", "key": f"k{number}", "epoch": epoch, "metrics": {SCORE: value}})

    def end(self, number: int, state: str = "complete", **more: Any) -> None:
        self.progress.on_event({"kind": "ended", "key": f"k{number}", "state": state, **more})

    def run(self, number: int, epochs: int, value: float, seconds: float, state: str = "complete") -> None:
        self.start(number)
        for epoch in range(1, epochs + 1):
            self.score(number, epoch, value, seconds)
        self.end(number, state)

    def table(self) -> str:
        console = Console(file=io.StringIO(), width=110, record=True)
        console.print(self.progress.render())
        return console.export_text()

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_plain_lines_come_at_most_every_ten_seconds_and_for_each_ended_run() -> None:
    stage = Stage(total=2, epochs=100)
    stage.start(0)
    for epoch in range(1, 31):
        stage.score(0, epoch, 0.5, seconds=1.0)
    assert 3 <= len(stage.lines) <= 4
    stage.end(0, "pruned")
    assert "pruned after epoch 30" in stage.lines[-1] and "[1/2" in stage.lines[-1]


def test_time_left_counts_what_runs_and_what_is_to_come_over_the_slots() -> None:
    stage = Stage(total=4, epochs=4, slots=1)
    assert stage.progress.left() is None
    stage.run(0, 4, 0.5, seconds=2.0)
    stage.start(1)
    stage.score(1, 1, 0.6, seconds=2.0)
    assert stage.progress.left() == pytest.approx(3 * 2 + 2 * 8)
    stage.progress.slots = 2
    assert stage.progress.left() == pytest.approx((6 + 16) / 2)


def test_time_left_expects_of_coming_runs_what_stopped_ones_cost() -> None:
    stage = Stage(total=3, epochs=4)
    stage.run(0, 4, 0.5, seconds=2.0)
    stage.run(1, 2, 0.4, seconds=2.0, state="pruned")
    assert stage.progress.left() == pytest.approx(3 * 2)


def test_a_fraction_of_an_epoch_counts() -> None:
    stage = Stage(total=1, epochs=4)
    stage.start(0)
    stage.clock.now = 6.0
    stage.progress.on_event({"kind": "progress", "key": "k0", "epoch": 1, "step": 50, "steps": 100})
    assert stage.progress.run_left(stage.progress.rows["k0"]) == pytest.approx(6 / 0.5 * 3.5)


def test_a_resumed_run_is_judged_by_the_epochs_of_this_session() -> None:
    stage = Stage(total=1, epochs=10)
    stage.start(0, epoch=6, resumed=True)
    stage.score(0, 7, 0.5, seconds=3.0)
    assert stage.progress.left() == pytest.approx(9.0)
    assert "goes on after epoch 6 of 10" in stage.lines[0]


def test_a_run_that_goes_on_unannounced_is_judged_from_its_first_score() -> None:
    stage = Stage(total=1, epochs=10)
    stage.start(0)
    stage.score(0, 7, 0.5, seconds=3.0)
    assert stage.progress.left() == pytest.approx(9.0)


def test_a_lost_run_is_said_and_no_longer_counted_as_running() -> None:
    stage = Stage(total=2)
    stage.start(0)
    stage.progress.on_event({"kind": "lost", "key": "k0", "reason": "signal 9"})
    assert stage.progress.rows == {} and stage.lines[-1].endswith("to be tried again: signal 9")
    stage.start(0)
    stage.end(0)
    assert [row.key for row in stage.progress.ended] == ["k0"]


def test_runs_of_earlier_sessions_count_as_ended() -> None:
    stage = Stage(total=9, epochs=4)
    stage.opened(4, 0.7, 0.6)
    stage.run(2, 4, 0.5, seconds=2.0)
    assert stage.progress.left() == pytest.approx(8.0)
    assert "best 0.7000 (run 0)  [3/4" in stage.lines[-1]


@pytest.mark.parametrize(
    ("total", "ended", "line"),
    [
        (2, 2, "nothing left to do: all 2 runs had ended before"),
        (1, 2, "nothing left to do: 2 runs had ended before"),
        (3, 2, None),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_session_without_a_run_says_why_or_nothing(total: int, ended: int, line: str | None, terminal: bool) -> None:
    """Where runs were left and none was begun, an error says what happened."""
    stage = Stage(terminal=terminal)
    with stage.progress:
        stage.opened(total, *[0.5] * ended)
    last = stage.lines[-1] if stage.lines else None
    if line:
        assert last is not None and last.endswith(line)
    elif not terminal:
        assert last is None


def test_best_follows_the_direction_and_complete_runs_only() -> None:
    stage = Stage(total=9)
    stage.run(0, 4, 0.5, 1.0)
    stage.run(1, 1, 0.9, 1.0, state="pruned")
    stage.run(2, 4, 0.7, 1.0)
    assert stage.progress.best == (0.7, 2)
    stage.progress.objectives, stage.progress.best = [(SCORE, False)], None
    stage.run(3, 4, 0.5, 1.0)
    stage.run(4, 4, 0.8, 1.0)
    assert stage.progress.best == (0.5, 3)


def test_the_table_shows_running_and_ended_runs() -> None:
    stage = Stage(terminal=True)
    stage.run(0, 4, 0.5, seconds=2.0)
    stage.start(1)
    stage.score(1, 1, 0.25, seconds=2.0)
    table = stage.table()
    assert "complete" in table and "0.5000" in table and "*" in table
    assert "1.0/4" in table and "0.2500" in table and "6 s" in table
    assert "1 of 4 runs ended (1 complete)" in table


def test_a_terminal_gets_a_live_table_and_a_last_line() -> None:
    stage = Stage(terminal=True, total=1)
    with stage.progress:
        stage.run(0, 4, 0.5, seconds=2.0)
        assert stage.progress.live is not None
    assert "1 of 1 runs ended (1 complete); best" in stage.lines[-1]


def test_quiet_says_nothing() -> None:
    stage = Stage(quiet=True)
    with stage.progress:
        stage.run(0, 4, 0.5, seconds=20.0)
    assert stage.stream.getvalue() == ""


def test_json_lines_are_strict_json_and_nothing_else() -> None:
    stage = Stage(json=True, quiet=True)
    with stage.progress:
        stage.start(0)
        stage.score(0, 1, float("nan"))
        stage.end(0, "diverged")
    records = [json.loads(line, parse_constant=pytest.fail) for line in stage.lines]
    assert [record["kind"] for record in records] == ["started", "scored", "ended"]
    assert records[1]["metrics"] == {SCORE: None}


def test_unknown_runs_and_kinds_change_nothing() -> None:
    stage = Stage()
    stage.score(7, 1, 0.5)
    stage.end(7)
    stage.progress.on_event({"kind": "weather"})
    assert stage.progress.ended == [] and stage.lines == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.6, "8 s"), (125, "2 min 05 s"), (12000, "3 h 20 min"), (187200, "2 d 4 h"), (-1, "0 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
