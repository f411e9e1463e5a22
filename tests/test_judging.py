"""Tables of runs from anywhere, and what is said of them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raycon.errors import InvalidFile, MissingData
from raycon.judging import comparison_rows, judge_runs, read_runs
from raycon.statistics import holm, paired_interval, paired_t_p


def _table(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _rows(seeds: int = 8, **more: Any) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    shared = random.normal(0, 0.02, size=seeds)
    gains = {"base": 0.0, "better": 0.03, "same": 0.0}
    return [
        {"method": name, "seed": seed, "accuracy": 0.8 + gain + shared[seed] + random.normal(0, 0.004), **more}
        for name, gain in gains.items()
        for seed in range(seeds)
    ]


def test_the_numbers_are_those_of_the_statistics(tmp_path: Path) -> None:
    rows = _rows()
    judged = judge_runs(read_runs(_table(tmp_path / "runs.csv", rows)))
    scores = {name: [r["accuracy"] for r in rows if r["method"] == name] for name in ("base", "better", "same")}
    differences = {name: np.subtract(scores[name], scores["base"]) for name in ("better", "same")}
    p = [paired_t_p(row) for row in differences.values()]
    better, same = judged.comparisons
    assert better.interval == paired_interval(differences["better"])
    assert [better.adjusted_p, same.adjusted_p] == pytest.approx(list(holm(p)))
    assert (better.verdict, same.verdict) == ("better", "not shown")
    assert not judged.warnings
    assert [row["verdict"] for row in comparison_rows(judged)] == ["better", "not shown"]


def test_of_a_loss_less_is_better(tmp_path: Path) -> None:
    runs = read_runs(_table(tmp_path / "runs.csv", _rows()))
    assert judge_runs(runs, lower=["accuracy"]).comparisons[0].verdict == "worse"
    assert judge_runs(runs, baseline="better").comparisons[0].verdict == "worse"


def _named(path: Path, *columns: str) -> Path:
    """The same numbers under several names."""
    return _table(path / "runs.csv", [{**{c: r["accuracy"] for c in columns}, **_keys(r)} for r in _rows()])


def _keys(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("method", "seed")}


def test_the_direction_is_told_from_the_name(tmp_path: Path) -> None:
    columns = ("metrics.validation/calibration/expected_error", "valLoss", "top1_acc")
    judged = judge_runs(read_runs(_named(tmp_path, *columns)))
    verdicts = {one.score: (one.better, one.verdict) for one in judged.comparisons if one.method == "better"}
    assert verdicts == dict(zip(columns, [("lower", "worse")] * 2 + [("higher", "better")], strict=True))
    assert f"(of {columns[0]}, valLoss less is better)" in judged.caption
    turned = judge_runs(read_runs(_named(tmp_path, "valLoss", "acc")), higher=["valLoss"], lower=["acc"])
    assert [(one.score, one.verdict) for one in turned.comparisons[::2]] == [("valLoss", "better"), ("acc", "worse")]


def test_a_direction_that_no_name_tells_is_asked_for(tmp_path: Path) -> None:
    path = _named(tmp_path, "quality", "acc", "metrics.validation/geometry/tolerance")
    judged = judge_runs(read_runs(path))
    assert {one.score for one in judged.comparisons} == {"acc"}
    assert any("quality is not judged; whether more or less" in text for text in judged.warnings)
    assert any("tolerance is not judged; it describes a run" in text for text in judged.warnings)
    with pytest.raises(InvalidFile, match="--higher quality or --lower quality"):
        judge_runs(read_runs(path, scores=["quality", "acc"]))
    with pytest.raises(InvalidFile, match="--higher quality or --lower quality"):
        judge_runs(read_runs(_named(tmp_path, "quality")))
    assert judge_runs(read_runs(path, scores=["quality"]), lower=["quality"]).comparisons[0].verdict == "worse"


def test_directions_of_columns_that_are_no_scores_are_refused(tmp_path: Path) -> None:
    runs = read_runs(_named(tmp_path, "loss", "acc"))
    with pytest.raises(InvalidFile, match="did you mean 'loss'"):
        judge_runs(runs, lower=["los"])
    with pytest.raises(InvalidFile, match="both directions"):
        judge_runs(runs, lower=["loss"], higher=["loss"])


def test_exports_of_trackers_are_read_as_they_are(tmp_path: Path) -> None:
    mlflow = [
        {
            "run_id": f"r{i}",
            "params.seed": r["seed"],
            "params.lr": 0.1,
            "tags.user": "x",
            "metrics.validation/accuracy": r["accuracy"],
            "params.method": r["method"],
        }
        for i, r in enumerate(_rows())
    ]
    runs = read_runs(_table(tmp_path / "mlflow.csv", mlflow))
    assert (runs.method, runs.seed, runs.scores) == ("params.method", "params.seed", ("metrics.validation/accuracy",))
    wandb = [{"Name": r["method"], "seed": r["seed"], "_runtime": 10, "acc": r["accuracy"]} for r in _rows()]
    runs = read_runs(_table(tmp_path / "wandb.csv", wandb))
    assert (runs.method, runs.seed, runs.scores) == ("Name", "seed", ("acc",))


def _warned(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    return "\n".join(judge_runs(read_runs(_table(path / "runs.csv", rows))).warnings)


def test_what_a_reviewer_would_ask_is_warned_of(tmp_path: Path) -> None:
    rows = _rows()
    assert "different seeds" in _warned(tmp_path, rows[:-1])
    assert "several runs of seed 0" in _warned(tmp_path, [*rows, rows[0]])
    lost = [{**r, "accuracy": "nan"} if i == 9 else r for i, r in enumerate(rows)]
    assert "not lost at random" in _warned(tmp_path, lost)
    assert "too high by selection" in _warned(tmp_path, [{**r, "best_test_accuracy": r["accuracy"]} for r in rows])
    longer = [{**r, "epochs": 20 if r["method"] == "better" else 10} for r in rows]
    assert "unequal budgets: epochs is 20 for better and 10 for base" in _warned(tmp_path, longer)
    two = [{**r, "lr": 0.1 * (1 + (r["method"] == "same")), "wd": str(r["method"] == "same")} for r in rows]
    assert "confounded: same differs from base in 2 settings (lr, wd)" in _warned(tmp_path, two)
    assert "sign-flip test cannot come below p = 0.25" in _warned(tmp_path, _rows(3))
    alone = [{**r, "seed": i} for i, r in enumerate(rows)]
    assert "nothing is paired" in _warned(tmp_path, alone)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no table"),
        ("method,seed\n", "no table"),
        ("method,seed,a\nx,1\n", "as many cells"),
        ("method,method,a\nx,1,2\n", "distinct names"),
        ("a,b\n1,2\n", "looks like the method"),
        ("method,seed,a\nx,1,high\ny,1,low\n", "no column of scores"),
        ("method,seed,a\nx,1,0.1\nx,2,0.2\n", "one method alone"),
    ],
)
def test_what_is_no_table_of_runs_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(InvalidFile, match=words):
        judge_runs(read_runs(path))


def test_wrong_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    path = _table(tmp_path / "runs.csv", _rows())
    with pytest.raises(InvalidFile, match="did you mean 'accuracy'"):
        read_runs(path, scores=["acuracy"])
    with pytest.raises(InvalidFile, match="did you mean 'better'"):
        judge_runs(read_runs(path), baseline="beter")
    with pytest.raises(MissingData, match="no file"):
        read_runs(tmp_path / "absent.csv")


def test_neither_ray_nor_torch_is_loaded(tmp_path: Path) -> None:
    path = _table(tmp_path / "runs.csv", _rows())
    code = (
        "import sys; from pathlib import Path; from raycon.judging import *;"
        f"judge_runs(read_runs(Path({str(path)!r})));"
        "print([m for m in ('ray', 'torch', 'optuna') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
