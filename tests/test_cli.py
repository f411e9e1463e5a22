"""The command line: results alone on stdout, everything else on stderr, and exit codes that mean something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raycon import cli, one_trial
from raycon.errors import RayconError, SomeRunsFailed
from raycon.searching import sweep
from raycon.settings import Settings
from tests.reporting.synthetic import ALIGNMENT, FINE, Run, realistic_repeat, realistic_sweep, write_sweep
from tests.tiny import tiny_file, without_ray


@dataclass(frozen=True)
class Told:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Told]


@pytest.fixture
def raycon(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*arguments: object) -> Told:
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Told(int(end.value.code or 0), told.out, told.err)

    return run


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with two sweeps and a repetition that never ran."""
    folder = tmp_path_factory.mktemp("shelf")
    realistic_sweep(folder / "thanos")
    realistic_sweep(folder / "pareto", minimize=(ALIGNMENT,))
    realistic_repeat(folder / "thanos-repeat-1", "thanos")
    return folder


def _strict(text: str) -> list[dict[str, Any]]:
    """The lines of `text`, each a JSON object without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_help_names_every_command(raycon: Command) -> None:
    told = raycon("--help")
    assert told.code == 0 and told.err == ""
    for name in ("demo", "explain", "plan", "train", "sweep", "repeat", "report", "runs", "ui", "sync", "schema"):
        assert f" {name} " in told.out
    for name in ("plan", "sweep", "repeat", "report", "runs"):
        assert raycon(name, "--help").code == 0


def test_help_says_what_is_meant_where_nothing_is_given(raycon: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word in square brackets is a style to what prints the help, and vanishes, unless it is escaped."""
    monkeypatch.setenv("COLUMNS", "200")
    for name, default in (("sweep", "as many as fit"), ("repeat", "the best"), ("init", "METHOD_NAME.yaml")):
        assert f"[default: {default}]" in raycon(name, "--help").out
    assert "a search uses sweep.lag + 1 at most" in raycon("sweep", "--help").out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["sweep"], ["plan", "x.yaml", "--seeds", "1"], ["train", "--folder"]]
)
def test_wrong_usage_is_exit_code_two(raycon: Command, arguments: list[str]) -> None:
    told = raycon(*arguments)
    assert told.code == 2 and told.out == ""
    assert told.err.count("\n") == 1 and "--help` says more" in told.err


def test_nothing_at_all_gives_the_help(raycon: Command) -> None:
    told = raycon()
    assert told.code == 2 and "Commands" in told.out + told.err


def test_explain_says_what_a_file_means(raycon: Command, tmp_path: Path) -> None:
    told = raycon("explain", tiny_file(tmp_path))
    assert told.code == 0 and told.err == ""
    assert "supcon(features, labels)" in told.out and "temperature=0.1" in told.out
    assert 'knob     objective.supcon.temperature: {"log_uniform": [0.05, 0.5]}' in told.out
    assert "all valid" in told.out


def test_set_replaces_values_and_holes(raycon: Command, tmp_path: Path) -> None:
    told = raycon(
        "explain", tiny_file(tmp_path), "--set", "objective.supcon.temperature=0.25", "--set", "encoder.depth=4"
    )
    assert told.code == 0
    assert "temperature=0.25" in told.out and "knob     objective.supcon.temperature" not in told.out


def test_plan_counts(raycon: Command, tmp_path: Path) -> None:
    told = raycon("plan", tiny_file(tmp_path), "--slots", 2)
    assert told.code == 0 and told.err == ""
    assert "sweep tiny: 3 runs of 1 epoch(s), 1 of them given" in told.out and "slots: 2" in told.out
    assert "4 runs on 2 fresh seed(s)" in told.out


def test_plan_says_how_many_slots_a_search_uses(raycon: Command, tmp_path: Path) -> None:
    path = tiny_file(tmp_path, ("trials: 3", "trials: 20"))
    told = raycon("plan", path, "--slots", 16)
    assert told.code == 0 and "slots: 4 of 16 (sweep.lag + 1 at most; `--set sweep.lag=15`" in told.out
    wider = raycon("plan", path, "--slots", 16, "--set", "sweep.lag=15")
    assert wider.code == 0 and "slots: 16, 1 worker(s) each" in wider.out


def test_plan_unasked_tells_nothing_of_idle_cpus(
    raycon: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    told = raycon("plan", tiny_file(tmp_path, ("trials: 3", "trials: 20")))
    assert told.code == 0 and "slots: 4, 1 worker(s) each" in told.out and "lag" not in told.out


def test_plan_with_one_fresh_seed(raycon: Command, tmp_path: Path) -> None:
    told = raycon("plan", tiny_file(tmp_path, ("seeds: [101, 102]", "seeds: [101]")))
    assert told.code == 0 and "too few for an interval" in told.out


def test_plan_with_a_probe_trains_and_gives_a_verdict(raycon: Command, tmp_path: Path) -> None:
    told = raycon("plan", tiny_file(tmp_path), "--probe", "--configurations", 5, "--seeds", 2)
    assert told.code == 0
    assert [line.split(":")[0] for line in told.err.splitlines()] == [f"probe {number}/10" for number in range(1, 11)]
    assert "probe: 5 random configurations x 2 seeds" in told.out and "verdict: " in told.out
    assert "as measured" in told.out


def test_train_prints_scores_and_nothing_else_on_stdout(raycon: Command, tmp_path: Path) -> None:
    path = tiny_file(tmp_path)
    told = raycon("train", path, "--json", "--folder", tmp_path / "weights")
    (metrics,) = _strict(told.out)
    assert told.code == 0 and 0 <= metrics[FINE] <= 1 and "epoch 1 done" in told.err
    assert (tmp_path / "weights" / "attempt-1" / "epoch-0001" / "manifest.json").is_file()
    again = raycon("train", path, "--quiet", "--folder", tmp_path / "weights")
    assert again.err == "" and f"{FINE} = {metrics[FINE]:.4g}\n" in again.out


def test_runs_ls(raycon: Command, shelf: Path, tmp_path: Path) -> None:
    told = raycon("runs", "ls", "--out", shelf)
    assert told.code == 0 and told.err == "" and len(told.out.splitlines()) == 3
    assert "24/24 runs: 18 complete, 1 diverged, 1 failed, 4 pruned" in told.out
    rows = _strict(raycon("runs", "ls", "--out", shelf, "--json").out)
    assert [row["name"] for row in rows] == ["pareto", "thanos", "thanos-repeat-1"]
    assert rows[1]["runs"] == {"complete": 18, "diverged": 1, "failed": 1, "pruned": 4}
    assert raycon("runs", "ls", "--out", tmp_path) == Told(0, "", "")


def test_a_damaged_log_is_said_and_hides_no_other(raycon: Command, shelf: Path, tmp_path: Path) -> None:
    for name in ("broken", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "events.jsonl").write_text("garbage")
    (tmp_path / "empty" / "events.jsonl").touch()
    (tmp_path / "thanos").symlink_to(shelf / "thanos")
    told = raycon("runs", "ls", "--out", tmp_path)
    assert told.code == 1
    for line, words in zip(told.out.splitlines(), ("is damaged", "no events yet", "24/24 runs"), strict=True):
        assert words in line
    rows = _strict(raycon("runs", "ls", "--out", tmp_path, "--json").out)
    assert "is damaged" in rows[0]["error"] and rows[2]["wanted"] == 24
    for command in (["runs", "show"], ["runs", "best"], ["report"]):
        told = raycon(*command, "broken", "--out", tmp_path)
        assert told.code == 1 and told.out == "" and "broken/events.jsonl is damaged" in told.err


def test_the_output_folder_comes_from_the_environment(
    raycon: Command, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYCON_OUT", str(shelf))
    assert len(raycon("runs", "ls").out.splitlines()) == 3


def test_runs_show_is_best_first_and_names_what_failed(raycon: Command, shelf: Path) -> None:
    told = raycon("runs", "show", "thanos", "--out", shelf, "--json")
    rows = _strict(told.out)
    scores = [row[FINE] for row in rows if row["state"] == "complete"]
    assert scores == sorted(scores, reverse=True) and len(rows) == 24
    assert "run 7: diverged: ended as diverged" in told.err and "run 12: failed" in told.err
    table = raycon("runs", "show", "thanos", "--out", shelf).out
    assert table.startswith("| run | state |") and len(table.splitlines()) == 26


def test_runs_best(raycon: Command, shelf: Path) -> None:
    (best,) = _strict(raycon("runs", "best", "thanos", "--out", shelf, "--json").out)
    rows = _strict(raycon("runs", "show", "thanos", "--out", shelf, "--json").out)
    assert best["run"] == rows[0]["run"] and best[FINE] == rows[0][FINE]
    front = _strict(raycon("runs", "best", "pareto", "--out", shelf, "--json").out)
    assert front and all(FINE in run and ALIGNMENT in run for run in front)


def test_json_has_no_nan(raycon: Command, tmp_path: Path) -> None:
    metrics = {FINE: 0.5, "validation/geometry/uniformity": float("nan"), ALIGNMENT: float("inf")}
    runs: list[Run] = [({"a.x": 1}, "complete", metrics), ({"a.x": 2}, "diverged", {FINE: float("nan")})]
    write_sweep(tmp_path / "s", runs)
    (best,) = _strict(raycon("runs", "best", "s", "--out", tmp_path, "--json").out)
    assert best[FINE] == 0.5 and best["validation/geometry/uniformity"] is None and best[ALIGNMENT] is None
    assert len(_strict(raycon("runs", "show", "s", "--out", tmp_path, "--json").out)) == 2


def test_no_complete_run_has_no_best(raycon: Command, tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [({"a.x": 1}, "failed", {})])
    assert raycon("runs", "best", "s", "--out", tmp_path) == Told(1, "", "raycon: no run of s is complete\n")


@pytest.mark.parametrize("command", [("runs", "show"), ("runs", "best"), ("report",), ("sync",)])
def test_an_unknown_sweep_gets_the_nearest_name(raycon: Command, shelf: Path, command: tuple[str, ...]) -> None:
    told = raycon(*command, "tanos", "--out", shelf)
    assert told.code == 2 and told.out == "" and told.err.count("\n") == 1
    assert "no sweep 'tanos'" in told.err and "did you mean 'thanos'?" in told.err


def test_a_damaged_log_is_one_line(raycon: Command, tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [({"a.x": 1}, "complete", {FINE: 0.5})])
    path = tmp_path / "s" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines[2:]]))
    told = raycon("runs", "show", "s", "--out", tmp_path)
    assert told.code == 1 and told.err.count("\n") == 1 and str(path) in told.err


def test_report_writes_a_page_and_says_where(raycon: Command, shelf: Path) -> None:
    told = raycon("report", "thanos", "--out", shelf)
    assert told.code == 0 and told.out.endswith(f"report: {shelf / 'thanos' / 'report' / 'report.md'}\n")
    assert "1 of 5 pairs lost" in told.out


def test_the_test_set_needs_a_repetition(raycon: Command, shelf: Path) -> None:
    told = raycon("report", "pareto", "--out", shelf, "--test")
    assert told.code == 5 and told.out == "" and "has no repetition" in told.err and told.err.count("\n") == 1


def test_repeat_before_any_sweep(raycon: Command, tmp_path: Path) -> None:
    told = raycon("repeat", tiny_file(tmp_path), "--out", tmp_path / "out")
    assert told.code == 2 and "no sweep 'tiny'" in told.err and told.err.count("\n") == 1


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.yaml` and, in `out`, its sweep, trained for real."""
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        sweep(tiny_file(folder), settings=Settings(out=folder / "out", tracking="off"))
    return folder


def test_sweep_ends_with_table_best_and_report(
    raycon: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    arguments = ("sweep", tiny_file(tmp_path), "--out", tmp_path / "out", "--tracking", "off")
    told = raycon(*arguments, "--trials", 2)
    assert told.code == 0 and "2 of 2 runs ended" in told.err
    assert told.out.startswith("| run | state |") and "best: run " in told.out and "report: " in told.out
    assert "MLflow" not in told.out
    longer = raycon(*arguments, "--json")
    rows = _strict(longer.out)
    assert longer.code == 0 and len([row for row in rows if "run" in row and row.get("state") == "complete"]) == 3
    again = raycon(*arguments, "--json")
    assert [row for row in rows if "run" in row][-3:] == [row for row in _strict(again.out) if "run" in row][-3:]


def test_another_space_of_the_same_name_is_refused(raycon: Command, swept: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        told = raycon(
            "sweep", swept / "tiny.yaml", "--out", swept / "out", "--tracking", "off", "--set", "encoder.width=5"
        )
    assert told.code == 5 and told.out == "" and "encoder.width" in told.err


def test_repeat_refuses_what_it_cannot_judge(raycon: Command, swept: Path) -> None:
    path = swept / "tiny.yaml"
    faults: dict[tuple[str, ...], tuple[int, str]] = {
        ("--seeds", "41-43"): (5, "seeds [42] chose the configuration"),
        ("--seeds", "1,1"): (2, "twice"),
        ("--seeds", "a"): (2, "--seeds: should be numbers"),
        ("--run", "9"): (2, "--run: tiny has runs 0 to 2, no 9"),
        ("--score", "test/coarse_to_fine/accuracy"): (2, "report --test"),
        ("--score", "validation/groups/worst_accuracy"): (2, "among the trial's scores"),
        ("--score", "nonsense"): (2, "three"),
    }
    for arguments, (code, reason) in faults.items():
        told = raycon("repeat", path, "--out", swept / "out", "--tracking", "off", "--quiet", *arguments)
        assert (told.code, told.out) == (code, ""), arguments
        assert reason in told.err and told.err.count("\n") == 1, told.err
    assert [folder.name for folder in (swept / "out").iterdir()] == ["tiny"]


def test_repeat_then_report_with_the_test_set(raycon: Command, swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    common = ("--out", swept / "out")
    told = raycon("repeat", swept / "tiny.yaml", *common, "--tracking", "off", "--quiet", "--seeds", "7-9")
    assert told.code == 0 and told.out.startswith("winner - plain: ") and "n = 3 paired seeds" in told.out
    assert told.err == ""
    as_json = raycon("repeat", swept / "tiny.yaml", *common, "--tracking", "off", "--quiet", "--seeds", "7-9", "--json")
    rows = [row for row in _strict(as_json.out) if "rival" in row]
    assert [(row["rival"], row["n"], row["lost"]) for row in rows] == [("plain", 3, [])]
    report = ("report", "tiny", *common, "--embedding", "none")
    tested = raycon(*report, "--test")
    assert tested.code == 0 and tested.err.count("tested ") == 6
    assert "Test split, opened 1 time(s)" in tested.out
    assert raycon(*report, "--test").err == ""
    assert "Test split, opened 1 time(s)" in raycon(*report).out


def test_a_repetition_of_a_front_needs_a_run(raycon: Command, tmp_path: Path) -> None:
    both = ("  maximize: validation/coarse_to_fine/accuracy\n", f"  maximize: {FINE}\n  minimize: {ALIGNMENT}\n")
    path = tiny_file(tmp_path, both, ("[coarse_to_fine]", "[coarse_to_fine, geometry]"))
    realistic_sweep(tmp_path / "out" / "tiny", minimize=(ALIGNMENT,))
    told = raycon("repeat", path, "--out", tmp_path / "out")
    assert told.code == 2 and told.err.startswith("--run: needed, as the sweep has several objectives; its front: ")


def _raise(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (SomeRunsFailed("1 of 3 runs failed"), 3, "raycon: 1 of 3 runs failed"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "Permission denied: '/x/y'"),
    ],
)
def test_ends_that_are_no_success(
    raycon: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    monkeypatch.setattr(one_trial, "train", _raise(error))
    told = raycon("train", tiny_file(tmp_path))
    assert told.code == code and told.out == "" and line in told.err


def test_a_failed_run_is_exit_code_three(raycon: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)

    def fail(*_: object) -> None:
        raise RayconError("no luck")

    monkeypatch.setattr("raycon.training.open_run", fail)
    told = raycon("sweep", tiny_file(tmp_path), "--out", tmp_path / "out", "--tracking", "off", "--quiet")
    assert told.code == 3 and "3 of 3 runs failed" in told.err
    shown = raycon("runs", "show", "tiny", "--out", tmp_path / "out")
    assert shown.code == 0 and "run 0: failed: no luck" in shown.err


def test_a_file_without_an_aim_cannot_be_searched(raycon: Command, tmp_path: Path) -> None:
    text = tiny_file(tmp_path).read_text()
    fixed = (
        text[: text.index("sweep:")]
        .replace("{log_uniform: [0.05, 0.5]}", "0.1")
        .replace("{choice: [true, false]}", "true")
    )
    (tmp_path / "fixed.yaml").write_text(fixed.replace("{log_uniform: [0.1, 10.0]}", "1.0"))
    assert raycon("explain", tmp_path / "fixed.yaml").code == 0
    told = raycon("sweep", tmp_path / "fixed.yaml", "--out", tmp_path / "out", "--tracking", "off")
    assert told.code == 2 and "maximize" in told.err and told.err.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    runs: list[Run] = [({"a.x": number}, "complete", {FINE: 0.5}) for number in range(2000)]
    write_sweep(tmp_path / "s", runs)
    program = "import sys; from raycon.cli import main; main(sys.argv[1:])"
    command = (
        f'"{sys.executable}" -c "{program}" runs show s --json --out {tmp_path} | head -1; echo ${{PIPESTATUS[0]}}'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50, env=dict(os.environ))
    assert done.stderr == ""
    first, code = done.stdout.splitlines()
    assert json.loads(first)["run"] == 0 and code in ("0", "1", "141")


def test_the_schema_is_json(raycon: Command) -> None:
    assert "properties" in json.loads(raycon("schema").out)
