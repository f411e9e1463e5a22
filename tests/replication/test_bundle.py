"""Bundles: the same folder gives the same bytes, and nothing that is private goes along."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from raycon import cli
from raycon.config import Folder
from raycon.errors import RayconError, Refused
from raycon.events import DamagedLog, parse
from raycon.replication.archive import EVENTS, INSTALLED, MANIFEST, RESULTS, SWEEP, VERSIONS
from raycon.replication.bundle import installed, shareable_text, write_bundle
from raycon.replication.verify import verify_bundle
from tests.replication.made_up import Parts, listed, repetition, search

CODE = "TERMS = []\nraise SystemExit('was run')\n"


def _score(values: object) -> float | str:
    return 0.5


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shelf")
    return {
        "search": search(folder, lambda values: 0.5 if values["objective.supcon.temperature"] < 0.25 else "failed"),
        "repetition": repetition(folder, _score, opened=True),
    }


@pytest.mark.parametrize("kind", ["search", "repetition"])
def test_the_same_folder_gives_the_same_bytes(shelf: dict[str, Path], kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    other = Path(shutil.copytree(shelf[kind], tmp_path / "elsewhere" / shelf[kind].name))
    assert write_bundle(shelf[kind], first) == write_bundle(other, second)
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_in_it(shelf: dict[str, Path], tmp_path: Path) -> None:
    identifier = write_bundle(shelf["repetition"], tmp_path / "b.zip")
    parts = Parts.of(tmp_path / "b.zip").entries
    stored = json.loads((shelf["repetition"] / "sweep.json").read_text())
    assert json.loads(parts[SWEEP]) == stored
    manifest = json.loads(parts[MANIFEST])
    assert manifest["kind"] == "repetition" and manifest["identity"] == stored["identity"]
    assert set(manifest["entries"]) == set(parts) - {MANIFEST}
    assert len(parts[RESULTS].splitlines()) == 1 + len(listed().runs)
    lines = parts[INSTALLED].decode().splitlines()
    assert lines == installed() == sorted(lines) and any(line.startswith("torch==") for line in lines)
    assert json.loads(parts[VERSIONS])["recorded"] == [
        {"attempt": 1, "versions": {"raycon": "0.1.0", "torch": "2.14.0"}}
    ]
    assert verify_bundle(tmp_path / "b.zip").identifier == identifier


def test_private_things_stay_behind(shelf: dict[str, Path], tmp_path: Path) -> None:
    write_bundle(shelf["search"], tmp_path / "b.zip")
    whole = (tmp_path / "b.zip").read_bytes()
    for private in (b"lab-machine", b"secret-session", b"somebody", b"me:pw", b"token=abc", str(tmp_path).encode()):
        assert private not in whole, private
    events = parse(Parts.of(tmp_path / "b.zip").entries[EVENTS])[0]
    assert len(events) == len(parse((shelf["search"] / "events.jsonl").read_bytes())[0])
    checkpoints = [event["checkpoint"] for event in events if event.kind == "scored"]
    assert checkpoints[0].startswith("runs/0000-") and checkpoints[0].endswith("/attempt-1/epoch-0001")
    reasons = [event["reason"] for event in events if event.kind == "finished" and event["reason"]]
    assert reasons and all("x.py" in reason and "***@host" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("no file /home/me/data/a b.png", "no file .../a b.png"),
        ("in ~/data/x.csv", "in .../x.csv"),
        (r"C:\Users\me\x.py, line 3", ".../x.py, line 3"),
        ("loss/accuracy 1/2 and validation/groups/accuracy", "loss/accuracy 1/2 and validation/groups/accuracy"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, shared: str) -> None:
    assert shareable_text(text) == shared


def test_an_absolute_path_of_the_configuration_needs_a_word(tmp_path: Path) -> None:
    plain = listed()
    there = {
        name: replace(trial, data=replace(trial.data, folder=Folder(path="/home/me/images")))
        for name, trial in plain.configurations.items()
    }
    folder = repetition(tmp_path, _score, replace(plain, configurations=there))
    with pytest.raises(Refused, match=r"absolute path '/home/me/images'.*--keep-paths"):
        write_bundle(folder, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
    write_bundle(folder, tmp_path / "b.zip", keep_paths=True)
    assert verify_bundle(tmp_path / "b.zip").kind == "repetition"


def test_own_code_is_kept_and_not_run(tmp_path: Path) -> None:
    digest = hashlib.sha256(CODE.encode()).hexdigest()
    folder = repetition(tmp_path, _score, listed(code=(digest,)))
    with pytest.raises(Refused, match="is missing"):
        write_bundle(folder, tmp_path / "b.zip")
    (folder / "code").mkdir()
    (folder / "code" / f"{digest}.py").write_text(CODE)
    write_bundle(folder, tmp_path / "b.zip")
    found = verify_bundle(tmp_path / "b.zip")
    assert found.texts == (CODE,) and any("not run" in line for line in found.checks)


def test_a_password_in_own_code_is_refused(tmp_path: Path) -> None:
    text = "URL = 'https://me:pw@host/data'\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = repetition(tmp_path, _score, listed(code=(digest,)))
    (folder / "code").mkdir()
    (folder / "code" / f"{digest}.py").write_text(text)
    with pytest.raises(Refused, match="own code holds an address with a password"):
        write_bundle(folder, tmp_path / "b.zip")


def test_another_file_is_not_written_over(shelf: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "b.zip"
    target.write_text("precious")
    with pytest.raises(Refused, match="--to"):
        write_bundle(shelf["search"], target)
    assert target.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1
    target.unlink()
    assert write_bundle(shelf["search"], target) == write_bundle(shelf["search"], target)


def test_a_torn_tail_stays_behind_and_damage_is_refused(shelf: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shelf["search"], tmp_path / "tiny"))
    log = folder / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"seq": 99')
    assert write_bundle(folder, tmp_path / "torn.zip") == write_bundle(shelf["search"], tmp_path / "whole.zip")
    log.write_bytes(whole[:50] + b"x" + whole[51:])
    with pytest.raises(DamagedLog):
        write_bundle(folder, tmp_path / "damaged.zip")
    log.write_bytes(whole.splitlines(keepends=True)[0])
    with pytest.raises(RayconError, match="no run yet"):
        write_bundle(folder, tmp_path / "empty.zip")
    log.write_bytes(whole)
    (folder / "sweep.json").unlink()
    with pytest.raises(RayconError, match=r"sweep\.json is missing"):
        write_bundle(folder, tmp_path / "bare.zip")


def test_a_folder_that_contradicts_itself_is_not_given_away(shelf: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shelf["search"], tmp_path / "tiny"))
    stored = json.loads((folder / "sweep.json").read_text())
    stored["canonical"]["sweep"]["seed"] += 1
    (folder / "sweep.json").write_text(json.dumps(stored))
    with pytest.raises(Refused, match="identity"):
        write_bundle(folder, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_an_unfinished_sweep_can_be_bundled(shelf: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shelf["search"], tmp_path / "tiny"))
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join(lines[:7]))
    write_bundle(folder, tmp_path / "b.zip")
    assert verify_bundle(tmp_path / "b.zip").history.counts().get("unfinished") == 1


def test_weights_that_are_missing_are_refused(shelf: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no sound checkpoint"):
        write_bundle(shelf["repetition"], tmp_path / "b.zip", weights=True)


def test_the_command(shelf: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, target = shelf["search"], tmp_path / "b.zip"
    with pytest.raises(SystemExit) as end:
        cli.main(["bundle", "tiny", "--out", str(folder.parent), "--to", str(target)])
    assert end.value.code == 0
    identifier = capsys.readouterr().out.splitlines()[-1].removeprefix("bundle: ")
    for expect, code in ((identifier[:12], 0), ("0" * 12, 5), ("zz", 2)):
        with pytest.raises(SystemExit) as end:
            cli.main(["verify", str(target), "--expect", expect])
        assert end.value.code == code
        told = capsys.readouterr()
        assert len(told.err.splitlines()) == (1 if code else 0)
        assert told.out.splitlines()[-1:] == ([] if code else [f"bundle: {identifier}"])
