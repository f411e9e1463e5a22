"""The driver's promises one by one; `test_simulation.py` has them all at once, under faults."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raycon.config import StopEarly, Sweep
from raycon.disk import RealDisk
from raycon.driver import Driver, run_key
from raycon.driver_contract import Assignment, Finished, Opener, Wait
from raycon.errors import RayconError, Refused
from raycon.events import EventLog, parse

ACCURACY, ALIGNMENT = "validation/linear_probe/accuracy", "validation/geometry/alignment"
SWEEP = Sweep(maximize=(ACCURACY,), trials=4, lag=1, retries=2)
OPENER = Opener("host", 41, 5.0, "session", {"raycon": "1"})


class Space:
    def __init__(self, canonical: dict[str, Any] | None = None):
        self.described = canonical or {"trial": {"rate": 1}, "sweep": {"seed": 0}}

    def trial(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"objective": values, "training": {"epochs": 9}, "seeds": {"init": 7}}

    def canonical(self) -> dict[str, Any]:
        return self.described


class Sampler:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def ask(self, number: int) -> dict[str, Any]:
        self.calls.append(("ask", number))
        return {"x": number / 8}

    def restore(self, number: int, values: dict[str, Any]) -> None:
        self.calls.append(("restore", number, values))

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        self.calls.append(("tell", number, state, values, intermediate))


def driver_in(folder: Path, sweep: Sweep = SWEEP, **options: Any) -> Driver:
    log = EventLog(RealDisk(), folder / "events.jsonl")
    space = options.pop("space", None) or Space()
    identity = options.pop("identity", "identity")
    options.setdefault("to_plain", dict)
    driver = Driver(sweep, "sweep", identity, space, Sampler(), log, "/storage/", **options)
    driver.open(OPENER)
    return driver


def calls(driver: Driver) -> list[tuple[Any, ...]]:
    assert isinstance(driver.sampler, Sampler)
    return driver.sampler.calls


def take(driver: Driver) -> Assignment:
    work = driver.next()
    assert isinstance(work, Assignment), work
    return work


def finish(driver: Driver, key: str, score: float) -> None:
    for epoch in range(driver.history.run(key).last_epoch + 1, 10):
        driver.scored(key, epoch, {ACCURACY: score}, None, epoch == 9)


def states(driver: Driver) -> list[str]:
    return [run.state for run in driver.history.runs]


def test_an_assignment_says_everything_that_a_worker_needs(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    assert work.key == run_key(0, work.trial) and work.key.startswith("0000-") and len(work.key) == 13
    assert json.loads(json.dumps(work.plain())) == {
        "key": work.key,
        "number": 0,
        "attempt": 1,
        "try": 1,
        "trial": {"objective": {"x": 0.0}, "training": {"epochs": 9}, "seeds": {"init": 7}},
        "folder": f"/storage/runs/{work.key}",
        "resume": None,
    }
    other = {**work.trial, "seeds": {"init": 8}}
    assert run_key(0, other) != work.key != run_key(1, work.trial)
    assert run_key(0, dict(reversed(work.trial.items()))) == work.key


def test_an_ask_sees_the_runs_up_to_its_lag_in_number_order(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    first, second = take(driver), take(driver)
    assert isinstance(driver.next(), Wait)
    finish(driver, second.key, 0.2)
    assert isinstance(driver.next(), Wait)
    finish(driver, first.key, 0.1)
    third = take(driver)
    assert isinstance(driver.next(), Assignment) and isinstance(driver.next(), Wait)
    course = {epoch: 0.1 for epoch in range(1, 10)}
    assert calls(driver)[:4] == [("ask", 0), ("ask", 1), ("tell", 0, "complete", [0.1], course), ("ask", 2)]
    finish(driver, third.key, 0.3)
    finish(driver, driver.history.runs[3].key, 0.3)
    assert driver.next() == Finished({"complete": 4})


def test_the_same_command_goes_on_where_it_was(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    first, second = take(driver), take(driver)
    finish(driver, first.key, 0.1)
    third = take(driver)
    driver.scored(second.key, 1, {}, "/storage/second/1", False)
    driver.scored(second.key, 2, {}, None, False)
    again = driver_in(tmp_path)
    asked = [call for call in calls(again) if call[0] != "tell"]
    assert asked == [("restore", number, {"x": number / 8}) for number in range(3)]
    work = take(again)
    assert (work.key, work.attempt, work.resume) == (second.key, 2, "/storage/second/1")
    work = take(again)
    assert (work.key, work.number, work.resume) == (third.key, 2, None)
    assert isinstance(again.next(), Wait)


def test_an_unusable_checkpoint_is_passed_over(tmp_path: Path) -> None:
    driver = driver_in(tmp_path, usable=lambda checkpoint: checkpoint != "/2")
    work = take(driver)
    driver.scored(work.key, 1, {}, "/1", False)
    driver.scored(work.key, 2, {}, "/2", False)
    assert driver.assignment(work.key).resume == "/1"


def test_a_finished_sweep_stays_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    driver = driver_in(tmp_path, replace(SWEEP, trials=1))
    finish(driver, take(driver).key, 0.5)
    assert driver.next() == Finished({"complete": 1})
    driver.close()
    before = (tmp_path / "events.jsonl").read_bytes()
    again = driver_in(tmp_path, replace(SWEEP, trials=1))
    assert again.next() == Finished({"complete": 1})
    again.close()
    assert (tmp_path / "events.jsonl").read_bytes() == before
    larger = driver_in(tmp_path, replace(SWEEP, trials=2))
    assert take(larger).number == 1 and larger.attempt == 2 and larger.history.attempts[0].closed_at is not None


def test_another_search_is_refused_with_the_differences(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    take(driver)
    driver.close()
    with pytest.raises(Refused, match=r"(?s)another search.*rate: 1 -> 2"):
        driver_in(tmp_path, identity="other", space=Space({"trial": {"rate": 2}, "sweep": {"seed": 0}}))
    many = Space({"trial": {f"knob{i}": i for i in range(40)}, "sweep": {"seed": 0}})
    with pytest.raises(Refused, match=r"(?s)knob0: \(absent\) -> 0.*and 21 more"):
        driver_in(tmp_path, identity="other", space=many)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(Refused, match="holds another search"):
        driver_in(tmp_path, identity="other")
    driver_in(tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text())["identity"] == "identity"


def test_a_folder_that_a_crash_left_without_an_event_is_free(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"identity": "other"}))
    (tmp_path / "events.jsonl").write_bytes(b'{"seq":0,"ti')
    driver = driver_in(tmp_path)
    assert driver.attempt == 1 and json.loads((tmp_path / "sweep.json").read_text())["identity"] == "identity"


def test_a_folder_in_which_nothing_ran_is_free_for_another_search(tmp_path: Path) -> None:
    driver_in(tmp_path).close()
    changed = Space({"trial": {"rate": 2}, "sweep": {"seed": 0}})
    take(driver_in(tmp_path, identity="other", space=changed))
    stored = json.loads((tmp_path / "sweep.json").read_text())
    assert stored["identity"] == "other" and stored["canonical"] == changed.canonical()
    again = driver_in(tmp_path, identity="other", space=changed)
    assert again.attempt == 3 and again.history.identity == "other"
    with pytest.raises(Refused, match=r"(?s)another search.*rate: 2 -> 1"):
        driver_in(tmp_path)


def test_results_count_once_and_decisions_stay(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    assert driver.scored(work.key, 1, {ACCURACY: 0.1}, "/1", False) == "continue"
    size = (tmp_path / "events.jsonl").stat().st_size
    assert driver.scored(work.key, 1, {ACCURACY: 0.9}, "/other", False) == "continue"
    assert driver.scored(work.key, 3, {ACCURACY: 0.9}, None, False) == "continue"  # ahead of its predecessor
    assert (tmp_path / "events.jsonl").stat().st_size == size
    finish(driver, work.key, 0.2)
    assert driver.scored(work.key, 9, {ACCURACY: 0.2}, None, True) == "stop"
    assert driver.scored(work.key, 10, {ACCURACY: 0.9}, None, True) == "stop"
    driver.ended(work.key, "failed", "too late")
    assert driver.lost(work.key, "too late") == "stop"
    assert states(driver) == ["complete"] and driver.history.runs[0].metrics == {ACCURACY: 0.2}


def test_lost_runs_are_tried_again_until_the_retries_are_used_up(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    driver.started(work.key, 1)
    driver.started(work.key, 1)
    driver.scored(work.key, 1, {}, "/1", False, attempt_try=1)
    assert driver.lost(work.key, "node died", attempt_try=1) == "retry"
    assert driver.lost(work.key, "node died", attempt_try=1) == "retry"  # the same loss, told twice
    assert driver.scored(work.key, 2, {}, None, False, attempt_try=1) == "stop"  # it was not dead after all
    assert driver.history.runs[0].last_epoch == 1 and driver.history.runs[0].tries == [(1, 1)]
    assert take(driver).number == 1  # whoever restarts workers has the run
    again = driver.assignment(work.key)
    assert (again.try_, again.resume) == (2, "/1")
    assert driver.lost(work.key, "node died", attempt_try=2, requeue=True) == "retry"
    assert take(driver).key == work.key
    assert driver.lost(work.key, "out of luck", attempt_try=3) == "stop"
    run = driver.history.runs[0]
    assert (run.state, run.reason) == ("failed", "lost 3 times, last: out of luck") and len(run.losses) == 3


def test_losses_to_the_storage_use_up_no_retries_and_an_attempt_later_neither(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    for number in range(1, 8):
        assert driver.lost(work.key, "disk full", attempt_try=number, requeue=True, storage=True) == "retry"
        assert take(driver).try_ == number + 1
    for number in (8, 9):
        assert driver.lost(work.key, "node died", attempt_try=number) == "retry"
    driver.close()
    again = driver_in(tmp_path)
    run = again.history.runs[0]
    assert (len(run.losses), run.storage_losses, run.finished) == (9, 7, False)
    assert again.lost(work.key, "out of luck", attempt_try=10) == "stop"
    assert (run.state, run.reason) == ("failed", "lost 3 times, last: out of luck")


def test_a_number_that_is_not_finite_ends_the_run_as_diverged(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    first, second = take(driver), take(driver)
    assert driver.scored(first.key, 1, {ACCURACY: 0.5, "train/objective/total": math.inf}, None) == "continue"
    assert driver.scored(first.key, 2, {ACCURACY: math.nan}, None) == "stop"
    run = driver.history.runs[0]
    assert (run.state, run.final_epoch, run.metrics[ACCURACY]) == ("diverged", 1, 0.5)
    assert run.reason == f"{ACCURACY} is not finite at epoch 2"
    driver.scored(second.key, 1, {ACCURACY: 0.5}, None)
    driver.ended(second.key, "out_of_memory", "at epoch 2")
    take(driver), take(driver)
    assert [call for call in calls(driver) if call[0] == "tell"] == [
        ("tell", 0, "diverged", None, {}),
        ("tell", 1, "out_of_memory", None, {}),
    ]
    json.loads((tmp_path / "events.jsonl").read_text().splitlines()[4], parse_constant=pytest.fail)


def test_a_run_that_says_it_is_complete_without_scores_has_failed(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    driver.ended(work.key, "complete", "says Tune")
    assert states(driver) == ["failed"]
    assert driver.history.runs[0].reason == "ended as complete without its last scores: says Tune"
    with pytest.raises(ValueError, match="unknown state"):
        driver.ended(take(driver).key, "tired")


def test_a_missing_objective_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    driver.scored(work.key, 1, {"validation/nearest_neighbours/accuracy": 0.3}, None, False)
    with pytest.raises(RayconError, match=rf"has no {ACCURACY}; it has validation/near"):
        driver.scored(work.key, 2, {"validation/nearest_neighbours/accuracy": 0.3}, None, True)


def rung_results(driver: Driver, scores: Mapping[int, float], name: str = ACCURACY) -> dict[int, str]:
    found: dict[int, str] = {}
    while not isinstance(work := driver.next(), Finished):
        assert isinstance(work, Assignment)
        for epoch in range(1, 10):
            metrics = {ACCURACY: 0.5, ALIGNMENT: 0.5, name: scores[work.number]}
            if driver.scored(work.key, epoch, metrics, None, epoch == 9) == "stop":
                found[work.number] = f"{driver.history.run(work.key).state} {epoch}"
                break
    return found


def test_stopping_compares_with_the_runs_before_the_lag(tmp_path: Path) -> None:
    sweep = replace(SWEEP, trials=5, lag=1, stop_early=StopEarly(after=3, reduction=2))
    scores = {0: 0.5, 1: 0.1, 2: 0.4, 3: 0.6, 4: 0.55}
    # Run 1 has nobody before its lag; run 2 sees run 0; run 3 sees 0 and 1; run 4 sees 0, 1, and 2 until it stopped.
    found = rung_results(driver_in(tmp_path / "max", sweep), scores)
    assert found == {0: "complete 9", 1: "complete 9", 2: "pruned 3", 3: "complete 9", 4: "complete 9"}
    low = replace(sweep, maximize=(), minimize=(ALIGNMENT,))
    found = rung_results(driver_in(tmp_path / "min", low), {n: -score for n, score in scores.items()}, ALIGNMENT)
    assert found == {0: "complete 9", 1: "complete 9", 2: "pruned 3", 3: "complete 9", 4: "complete 9"}


def test_several_objectives_are_stopped_by_the_gate_and_told_without_a_course(tmp_path: Path) -> None:
    gate = "validation/geometry/uniformity"  # lower is better, and it is no objective
    sweep = replace(
        SWEEP, minimize=(ALIGNMENT,), gate=gate, trials=3, lag=0, stop_early=StopEarly(after=6, reduction=2)
    )
    driver = driver_in(tmp_path, sweep)
    assert rung_results(driver, {0: -2.0, 1: -1.0, 2: -3.0}, gate) == {0: "complete 9", 1: "pruned 6", 2: "complete 9"}
    told = [call for call in calls(driver) if call[0] == "tell"]
    assert told == [("tell", 0, "complete", [0.5, 0.5], {}), ("tell", 1, "pruned", None, {})]


def test_a_rung_without_a_score_uses_the_one_before(tmp_path: Path) -> None:
    sweep = replace(SWEEP, trials=2, lag=0, stop_early=StopEarly(after=3, reduction=2))
    driver = driver_in(tmp_path, sweep)
    for score, last in ((0.9, 9), (0.1, 3)):
        work = take(driver)
        for epoch in range(1, last + 1):
            metrics = {ACCURACY: score} if epoch in (2, 9) else {}
            decision = driver.scored(work.key, epoch, metrics, None, epoch == 9)
        assert decision == "stop"
    assert states(driver) == ["complete", "pruned"]


def test_what_a_crash_left_half_done_is_settled_at_the_next_start(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    first, second = take(driver), take(driver)
    for epoch in range(1, 10):
        driver.scored(first.key, epoch, {ACCURACY: 0.2}, None, epoch == 9)
    for _ in range(3):
        driver.lost(second.key, "gone")
    path = tmp_path / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"kind":"finished"' not in line]
    cut = next(index for index, line in enumerate(lines) if b'"kind":"finished"' in line)
    path.write_bytes(b"".join(lines[:cut]))
    assert len(kept) == len(lines) - 2
    again = driver_in(tmp_path)
    assert states(again) == ["complete", "unfinished"] and again.history.runs[0].metrics == {ACCURACY: 0.2}
    path.write_bytes(b"".join(lines[:-1]))
    assert states(driver_in(tmp_path)) == ["complete", "failed"]


def test_processes_of_earlier_attempts_are_known(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    driver.process(100, 6.5, "rank 1", "host")
    assert driver.processes() == []
    again = driver_in(tmp_path)
    again.process(200, 7.0, "rank 1", "host")
    found = [(process.pid, process.created, process.role, process.attempt) for process in again.processes()]
    assert found == [(41, 5.0, "driver", 1), (100, 6.5, "rank 1", 1)]
    attempt = again.history.attempts[1]
    assert (attempt.number, attempt.pid, attempt.session, attempt.versions) == (2, 41, "session", {"raycon": "1"})


def test_a_driver_that_is_not_open_does_nothing(tmp_path: Path) -> None:
    driver = driver_in(tmp_path)
    work = take(driver)
    driver.close()
    driver.close()
    for call in (driver.next, lambda: driver.scored(work.key, 1, {}), lambda: driver.lost(work.key, "x")):
        with pytest.raises(RuntimeError, match="not open"):
            call()
    with pytest.raises(RayconError, match="no run 'nobody'"):
        driver_in(tmp_path).scored("nobody", 1, {})
    assert [event.kind for event in parse((tmp_path / "events.jsonl").read_bytes())[0]][:3] == [
        "opened",
        "asked",
        "closed",
    ]


def test_the_opener_of_this_process_has_its_creation_time() -> None:
    import psutil

    opener = Opener.here("session")
    assert opener.created == psutil.Process(opener.pid).create_time() and opener.host
    assert "optuna" in opener.versions


def test_the_core_loads_nothing_heavy() -> None:
    code = (
        "import sys, raycon.driver, raycon.history, raycon.lock; "
        "from raycon.driver_contract import Opener; Opener.here(); "
        "print([name for name in ('torch', 'ray', 'optuna', 'mlflow', 'numpy', 'scipy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
