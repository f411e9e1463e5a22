"""Ablation studies as bundles: packed, verified, replicated; and logs that no driver wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from raycon import cli
from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import DamagedLog, EventLog, parse
from raycon.history import LOG_NAME, read_sweep
from raycon.replication.bundle import write_bundle
from raycon.replication.rerun import judge_replication, plan_replication, run_replication
from raycon.replication.verify import verify_bundle
from raycon.sealed import open_test_set
from raycon.settings import Settings
from raycon.space import loads
from raycon.studies import ablate
from tests.replication.made_up import Parts, changed_event
from tests.test_reuse import STUDY
from tests.tiny import FINE, without_ray


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study of three arms with three seeds."""
    out = tmp_path_factory.mktemp("out")
    text = STUDY.replace("[1, 2]", "[1, 2, 3]").replace("epochs: 2", "epochs: 1")
    claims = {"it": {"effect": "leave_one_out", "of": ["spread"], "margin": 0.01}}
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        return ablate(loads(text), settings=Settings(out=out, tracking="off"), claims=claims).folder


def test_a_study_is_bundled_verified_and_told(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "study.zip"
    for command in (["bundle", study.name, "--out", str(study.parent), "--to", str(target)], ["verify", str(target)]):
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        assert end.value.code == 0
    told = capsys.readouterr().out
    assert "configuration of this ablation" in told and "test set: never opened" in told
    assert "9 keys are the hashes of their trials, and each is the listed configuration" in told
    other = Path(shutil.copytree(study, tmp_path / "copy" / study.name))
    write_bundle(other, tmp_path / "again.zip")
    assert target.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_the_claims_of_a_study_cannot_be_changed_afterwards(study: Path, tmp_path: Path) -> None:
    write_bundle(study, tmp_path / "study.zip")
    parts = Parts.of(tmp_path / "study.zip")
    stored = json.loads(parts.entries["sweep.json"])
    stored["canonical"]["ablation"]["claims"]["it"]["margin"] = 0.05
    parts.entries["sweep.json"] = (json.dumps(stored, indent=1) + "\n").encode()
    with pytest.raises(Refused, match="is not the hash of the configuration"):
        verify_bundle(parts.resealed().write(tmp_path / "forged.zip"))


def test_an_arm_that_the_design_does_not_list_is_refused(study: Path, tmp_path: Path) -> None:
    write_bundle(study, tmp_path / "study.zip")
    parts = Parts.of(tmp_path / "study.zip")
    events = [event for event, _ in parts.events]
    asked = next(index for index, event in enumerate(events) if event.kind == "asked")
    values = {**events[asked]["values"], "configuration": "another"}
    events[asked] = changed_event(events[asked], values=values)
    with pytest.raises(Refused, match="is not the one that the configuration lists"):
        verify_bundle(parts.with_events(events).resealed().write(tmp_path / "forged.zip"))


@pytest.mark.parametrize("opened", [False, True])
def test_a_study_is_replicated(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: bool) -> None:
    without_ray(monkeypatch)
    if opened:
        open_test_set(study)
    write_bundle(study, tmp_path / "study.zip")
    found = verify_bundle(tmp_path / "study.zip")
    assert found.kind == "ablation" and ("opened 1 time(s)" in "\n".join(found.checks)) is opened
    listed, code = plan_replication(found, 3)
    assert {pick.fresh for pick in listed.picks} == {True}
    arms = {found.history.run(pick.key).values["configuration"] for pick in listed.picks}
    assert arms == {"full", "without spread", "without decoder"}
    history = run_replication(listed, code, Settings(out=tmp_path / "out", tracking="off"))
    judged = judge_replication(listed, history, found.history)
    assert judged.verdict in ("replicated", "not replicated") and len(judged.rows()) == 3
    assert all(outcome.value is not None and len(outcome.pick.known) == 3 for outcome in judged.outcomes)
    assert all(run.reused is None for run in history.runs) and judged.score == FINE


MALFORMED: dict[str, tuple[str, dict[str, Any]]] = {
    "a field that is missing": ("finished", {"key": None}),
    "a field of another type": ("scored", {"epoch": "second", "metrics": {}, "checkpoint": None, "done": True}),
    "metrics that are a list": ("scored", {"epoch": 9, "metrics": [1], "checkpoint": None, "done": False}),
    "an origin without a place": ("reused", {"origin": {"sweep": "x"}}),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_line_is_told_and_not_a_key_error(
    study: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checksum fits: somebody, or another program, has written it."""
    place = Path(shutil.copytree(study, tmp_path / study.name))
    log = EventLog(RealDisk(), place / LOG_NAME)
    key = read_sweep(place).runs[0].key
    number = len(log.open())
    kind, payload = MALFORMED[what]
    given = {"key": key, **payload}
    log.append(kind, **{name: value for name, value in given.items() if value is not None or name == "checkpoint"})
    log.sync()
    with pytest.raises(
        (DamagedLog, RayconError), match=rf"event {number} of the log \({kind}\)|twice or after its end"
    ):
        read_sweep(place)
    with pytest.raises(RayconError):
        write_bundle(place, tmp_path / "b.zip")
    for command in (["bundle", str(place), "--to", str(tmp_path / "b.zip")], ["runs", "show", str(place)]):
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        assert end.value.code == 1 and "Traceback" not in capsys.readouterr().err


def test_an_unknown_kind_is_told(study: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(study, tmp_path / study.name))
    data = (place / LOG_NAME).read_bytes()
    from raycon.events import Event, encode

    events = parse(data)[0]
    (place / LOG_NAME).write_bytes(data + encode(Event(len(events), events[-1].time, "guessed", {}), len(events)))
    with pytest.raises(DamagedLog, match="unknown kind 'guessed'"):
        read_sweep(place)
