"""submit.py: what it refuses, what it runs, and where it says how that ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import submit
from raycon import cli
from raycon.errors import InvalidFile
from raycon.history import LOG_NAME, read_sweep
from raycon.settings import Settings
from raycon.submissions import FILE_NAME, begin, end, read_submissions, without_sweep
from tests.reporting.synthetic import realistic_sweep
from tests.tiny import tiny_file, without_ray

ROOT = Path(__file__).parents[2]
PLAIN = ["sweep", "search_spaces/thanos.yaml", "--name", "first-1", "--set", "a.b=1", "--storage=/mnt/a@b:c,d"]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An output folder; no package in the home, so that tests stay where they are; signals as they were."""
    monkeypatch.setenv("RAYCON_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(submit, "HOME", tmp_path / "nothing")
    earlier = signal.getsignal(signal.SIGHUP)
    yield tmp_path / "out"
    signal.signal(signal.SIGHUP, earlier)


def test_arguments_that_arrive_as_they_are() -> None:
    assert submit.unsafe(PLAIN) == []


SHELL = ["a b", "$HOME", "x;echo", "`id`", "{a: 1}", "[1,2]", "a*", "'a'", '"a"', "a|b", "a&b", "a>b", "~/x", "", "ü"]


@pytest.mark.parametrize("argument", SHELL)
def test_arguments_that_a_shell_would_change(argument: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.submit(["sweep", argument]) == 2
    told = capsys.readouterr().err
    assert repr(argument) in told and "ray job submit" in told
    assert not (out / FILE_NAME).exists()


def test_an_empty_command_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.submit([]) == 2
    assert "sweep search_spaces/thanos.yaml" in capsys.readouterr().err


def test_the_outcome_is_recorded(out: Path) -> None:
    assert submit.submit(["methods", "--json"]) == 0
    (found,) = read_submissions(out)
    assert (found.exit_code, found.command, found.sweep) == (0, ("methods", "--json"), None)
    assert found.ended is not None and found.began <= found.ended
    assert found.host == os.uname().nodename and {"raycon", "ray", "torch"} <= set(found.versions)


@pytest.mark.slow
def test_a_sweep_under_its_own_name_on_the_storage_of_the_cluster(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYCON_STORAGE", str(tmp_path / "storage"))
    without_ray(monkeypatch)
    file = str(tiny_file(tmp_path))
    assert submit.submit(["sweep", file, "--name", "mine", "--trials", "1", "--tracking", "off", "--quiet"]) == 0
    (run,) = read_sweep(out / "mine").runs
    assert run.checkpoint is not None and Path(run.checkpoint).is_relative_to(tmp_path / "storage" / "mine" / "runs")
    assert (tmp_path / "storage" / "mine" / LOG_NAME).is_file()
    assert [(one.sweep, one.exit_code) for one in read_submissions(out)] == [("mine", 0)]


def test_the_exit_code_comes_back(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is refused: exit code 2, a record with the name of the sweep that was meant, and a hint."""
    wrong = tiny_file(tmp_path, ("sampler: random", "sampler: randm"))
    assert submit.submit(["sweep", str(wrong), "--name", "mine"]) == 2
    assert "randm" in (told := capsys.readouterr().err) and "do not arrive whole" in told
    (found,) = read_submissions(out)
    assert (found.exit_code, found.sweep) == (2, "mine")


def test_an_error_of_raycon_itself_is_recorded_and_raised(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "main", broken)
    with pytest.raises(ZeroDivisionError):
        submit.submit(["methods"])
    assert [one.exit_code for one in read_submissions(out)] == [1]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["sweep", "FILE"], "tiny"),
        (["sweep", "FILE", "--name", "mine"], "mine"),
        (["sweep", "--name=mine", "FILE"], "mine"),
        (["sweep", "--set", "name=other", "FILE"], "other"),
        (["sweep", "nowhere.yaml"], None),
        (["runs", "ls"], None),
    ],
)
def test_the_sweep_that_a_command_is_about(arguments: list[str], name: str | None, tmp_path: Path) -> None:
    file = str(tiny_file(tmp_path))
    assert submit.sweep_of([file if argument == "FILE" else argument for argument in arguments]) == name


def test_the_storage_of_a_cluster_is_a_folder_or_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAYCON_STORAGE names it for all commands; with a password in it, it is refused."""
    monkeypatch.setenv("RAYCON_STORAGE", str(tmp_path))
    assert Settings().shared == str(tmp_path)
    assert Settings(storage=str(tmp_path / "other")).shared == str(tmp_path / "other")
    monkeypatch.setenv("RAYCON_STORAGE", "s3://bucket/raycon/")
    assert Settings().shared == "s3://bucket/raycon"
    monkeypatch.setenv("RAYCON_STORAGE", "s3://key:secret@bucket/raycon")
    with pytest.raises(InvalidFile, match="credentials belong into the environment"):
        Settings().shared  # noqa: B018
    monkeypatch.delenv("RAYCON_STORAGE")
    assert Settings().shared is None


def test_runs_show_and_ls_tell_what_was_submitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    realistic_sweep(tmp_path / "thanos")
    done = begin(tmp_path, ["sweep", "thanos.yaml"], "thanos", "head", {})
    end(tmp_path, done, 3)
    refused = begin(tmp_path, ["sweep", "other.yaml"], "other", "head", {})
    end(tmp_path, refused, 2)
    begin(tmp_path, ["sweep", "thanos.yaml", "--trials", "9"], "thanos", "head", {})

    with pytest.raises(SystemExit):
        cli.main(["runs", "show", "thanos", "--out", str(tmp_path)])
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("submitted")]
    assert len(lines) == 2 and "submitted" not in told.out
    assert re.search(r"raycon sweep thanos.yaml: exit code 3 \(finished with failed runs\) after \d+ s$", lines[0])
    assert lines[1].endswith("raycon sweep thanos.yaml --trials 9: no end is known; it runs, or it was killed")

    with pytest.raises(SystemExit):
        cli.main(["runs", "ls", "--out", str(tmp_path)])
    told = capsys.readouterr()
    (line,) = [line for line in told.err.splitlines() if line.startswith("submitted")]
    assert "other.yaml: exit code 2 (usage or invalid file)" in line


def test_of_a_command_given_again_the_last_counts(tmp_path: Path) -> None:
    for code in (2, 1):
        end(tmp_path, begin(tmp_path, ["sweep", "x.yaml"], "x", "head", {}), code)
    assert [one.exit_code for one in without_sweep(tmp_path)] == [1]


def test_a_cut_line_is_passed_over(tmp_path: Path) -> None:
    end(tmp_path, begin(tmp_path, ["methods"], None, "head", {}), 0)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write('[]\n{"id": "half", "command": ["swe')
    assert [one.exit_code for one in read_submissions(tmp_path)] == [0]
    assert read_submissions(tmp_path / "nowhere") == []


WAITING = """
import signal, sys, time
sys.path.insert(0, {root!r})
import submit
from raycon import cli
def main(arguments):
    def interrupted(number, frame):
        print("interrupted", flush=True)
        sys.exit(130)
    signal.signal(signal.SIGTERM, interrupted)
    print("waiting", flush=True)
    time.sleep(60)
cli.main = main
sys.exit(submit.submit(["sweep", "x.yaml"]))
"""


def test_a_closed_terminal_is_an_interruption(tmp_path: Path) -> None:
    """SIGHUP becomes the SIGTERM that ends a sweep in good order, and the end is recorded."""
    settings = {**os.environ, "RAYCON_OUT": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", WAITING.format(root=str(ROOT))]
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 130
    assert process.stdout.read() == "", "nothing is written to a terminal that is gone"
    rows = [json.loads(line) for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert [row.get("exit_code") for row in rows] == [None, 130]
