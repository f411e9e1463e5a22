"""Pictures: there is one for whatever a log can hold, with the same bytes for the same log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from raycon.history import SweepHistory
from raycon.repeats import paired_differences
from raycon.reporting import figures
from raycon.reporting.figures import front_figure, repeat_figure, run_figure, sweep_figure
from tests.reporting.synthetic import ALIGNMENT, FINE, Run, realistic_repeat, realistic_sweep, write_repeat, write_sweep

PNG = b"\x89PNG\r\n\x1a\n"

CASES: dict[str, list[Run]] = {
    "no complete run": [({"a.x": 0.1}, "failed", {}), ({"a.x": 0.2}, "pruned", {FINE: 0.4})],
    "no score at all": [({"a.x": 0.1}, "failed", {}), ({"a.x": 0.2}, "diverged", {})],
    "one run": [({"a.x": 0.1, "a.y": True}, "complete", {FINE: 0.4})],
    "categorical": [({"a.kind": kind, "a.use": kind == "in"}, "complete", {FINE: 0.5}) for kind in ("in", "out", "in")],
    "a long option": [({"a.kind": kind}, "complete", {FINE: 0.5}) for kind in ("x" * 60, "spread_and_autoencoder")],
    "not finite": [({"a.x": 1.0}, "complete", {FINE: value}) for value in (math.nan, 0.5, math.inf, 0.6)],
    "mixed types": [({"a.x": value}, "complete", {FINE: 0.5}) for value in (None, 1, "auto", True)],
    "many knobs": [({f"a.{n}": n * i for n in range(13)}, "complete", {FINE: 0.1 * i}) for i in range(1, 5)],
    "unfinished": [({"a.x": 1.0}, "unfinished", {FINE: 0.4}), ({"a.x": 2.0}, "complete", {FINE: 0.4})],
}


@pytest.mark.parametrize("case", CASES)
def test_every_sweep_has_a_picture(case: str, tmp_path: Path) -> None:
    history = write_sweep(tmp_path / "s", CASES[case])
    assert sweep_figure(history).startswith(PNG)
    for run in history.runs:
        assert run_figure(run).startswith(PNG)


def test_the_best_so_far_ignores_what_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(figures, "_progress", lambda axis, runs, name, higher: seen.append([r.number for r in runs]))
    sweep_figure(write_sweep(tmp_path / "s", CASES["not finite"]))
    assert seen == [[1, 3]]


def _spread(history: SweepHistory) -> SweepHistory:
    history.canonical = {
        "trial": {
            "objective": {
                "supcon": {"temperature": {"log_uniform": [0.05, 0.5]}},
                "class_conditional_infonce": {"weight": {"uniform": [0, 1]}},
                "reconstruction": {"use": {"choice": [True, False]}, "weight": {"log_uniform": [0.1, 10]}},
            },
            "encoder": {"choice": {"small": {"width": {"log_integer": [8, 64]}}, "none": {}}},
        }
    }
    return history


def test_only_logarithmic_knobs_have_logarithmic_axes(tmp_path: Path) -> None:
    history = _spread(realistic_sweep(tmp_path / "s"))
    assert history.logarithmic_paths() == {
        "objective.supcon.temperature",
        "objective.reconstruction.weight",
        "encoder.width",
    }
    assert sweep_figure(history).startswith(PNG)


def test_pictures_are_the_same_bytes_for_the_same_log(tmp_path: Path) -> None:
    one, other = (_spread(realistic_sweep(tmp_path / name / "s", runs=8)) for name in "ab")
    assert sweep_figure(one) == sweep_figure(other)
    assert run_figure(one.runs[0]) == run_figure(other.runs[0])
    assert run_figure(one.runs[0]) != run_figure(one.runs[1])


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s", minimize=(ALIGNMENT,))
    assert front_figure(history).startswith(PNG)
    empty = write_sweep(tmp_path / "t", CASES["no score at all"], minimize=(ALIGNMENT,))
    assert front_figure(empty).startswith(PNG)


def test_a_repetition_has_a_picture_with_lost_runs_too(tmp_path: Path) -> None:
    history = realistic_repeat(tmp_path / "r", "s")
    assert repeat_figure(history, FINE, paired_differences(history, FINE)).startswith(PNG)
    alone = write_repeat(tmp_path / "alone", "s", {"winner": {1: 0.5}})
    assert repeat_figure(alone, FINE, paired_differences(alone, FINE)).startswith(PNG)
    lost = write_repeat(tmp_path / "lost", "s", {"winner": {1: "failed", 2: 0.5}, "plain": {1: 0.5, 2: "failed"}})
    assert repeat_figure(lost, FINE, paired_differences(lost, FINE)).startswith(PNG)


def test_scores_on_other_scales_do_not_flatten_the_accuracies(tmp_path: Path) -> None:
    metrics = {FINE: 0.5, "validation/geometry/effective_rank": 20.0, "validation/unknown/thing": 1.0}
    run = write_sweep(tmp_path / "s", [({"a.x": 1}, "complete", metrics)]).runs[0]
    assert figures._shares(run) == [FINE]


def test_labels_are_broken_and_not_cut() -> None:
    long = "class_conditional_infonce.temperature_of_the_second_view"
    wrapped = figures.wrapped(long, 30)
    assert wrapped.replace("\n", "") == long and max(map(len, wrapped.split("\n"))) <= 30
