"""Pictures of finalists, from a sweep and a repetition that were trained for real, and from logs without weights."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raycon.datasets
from raycon import importance
from raycon.datasets.loading import load_tables
from raycon.errors import InvalidFile
from raycon.history import read_sweep
from raycon.reporting import finalists
from raycon.reporting.encoded_finalist import encode_finalist, probe_knobs
from raycon.reporting.finalists import finalist_pictures
from raycon.reporting.run_pictures import colourings_of
from raycon.results import RepeatResult, SweepResult
from raycon.sealed import open_test_set
from raycon.settings import Settings
from raycon.space import load, trial_from
from tests.reporting.images import is_drawn
from tests.reporting.synthetic import ALIGNMENT, FINE, realistic_repeat, realistic_sweep, write_repeat, write_sweep
from tests.tiny import tiny_file, without_ray

# Drawing takes seconds on a busy machine.
pytestmark = pytest.mark.timeout(240)

COLOURED = (
    ("coarse: low_high, ", "coarse: low_high, bias: {rate: 0.9}, groups: [class, aligned], "),
    ("scores: [coarse_to_fine]", "scores: [coarse_to_fine, linear_probe, groups, geometry]"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, RepeatResult]:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        found = raycon.sweep(load(tiny_file(folder, *COLOURED)), settings=Settings(out=folder / "out", tracking="off"))
        return found, raycon.repeat(found.best())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The finalists that are asked to be drawn, which takes no time here."""
    names: list[str] = []

    def note(history: Any, finalist: finalists.Finalist, *_: Any) -> Any:
        names.append(finalist.name)
        raise InvalidFile("not now")

    monkeypatch.setattr(finalists, "_draw", note)
    monkeypatch.setattr(finalists, "_collapse", lambda *_: [])
    return names


def test_a_report_has_the_pictures_of_its_finalists(
    trained: tuple[SweepResult, RepeatResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, repetition = trained
    monkeypatch.setattr(finalists, "OF_A_SWEEP", 1)
    monkeypatch.setattr(importance, "RESAMPLES", 2)
    page = raycon.report("tiny", settings=sweep.settings)
    files = {path.name: path.read_bytes() for path in page.parent.glob("finalist-*.png")}
    part = repetition.folder.name.removeprefix("tiny-")
    best = sweep.best().run.number
    whose = [f"run-{best}", *(f"{part}-{name}-seed-101" for name in ("winner", "plain"))]
    wanted = {f"finalist-{who}-{kind}.png" for who in whose for kind in ("embedding", "confusion", "groups")}
    wanted |= {"finalist-collapse.png", f"finalist-{part}-collapse.png"}
    assert set(files) == wanted
    assert all(is_drawn(content) for content in files.values()) and len(set(files.values())) == len(files)
    text = page.read_text()
    assert all(text.count(f"]({name})") == 1 for name in files)
    assert f"## Embeddings of run {best} (best)\n" in text and "of fresh seeds, winner, seed 101\n" in text


def test_the_same_weights_give_the_same_bytes(
    trained: tuple[SweepResult, RepeatResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalists, "OF_A_SWEEP", 1)
    copy = Path(shutil.copytree(trained[0].folder, tmp_path / "copy"))
    (copy / "report").mkdir(exist_ok=True)
    (copy / "report" / "finalist-run-99-embedding.png").write_bytes(b"of an earlier report")
    first = {picture.path.name: picture.path.read_bytes() for picture in finalist_pictures(copy)}
    assert {path.name for path in (copy / "report").glob("finalist-*.png")} == set(first)
    assert {picture.path.name: picture.path.read_bytes() for picture in finalist_pictures(copy)} == first


def test_the_probes_are_those_that_scored_the_run(trained: tuple[SweepResult, RepeatResult]) -> None:
    run, levels = trained[0].best().run, {}  # type: ignore[var-annotated]
    found = encode_finalist(run, trained[0].folder, levels)
    for attribute, metric in (("coarse", "linear_probe/accuracy"), ("class", "coarse_to_fine/accuracy")):
        right = found.predicted[attribute] == found.values(attribute)
        assert right.mean() == pytest.approx(run.metrics[f"validation/{metric}"])
    assert found.final == {} and set(found.untrained) <= set(run.metrics)
    assert found.untrained[ALIGNMENT] != run.metrics[ALIGNMENT]
    assert len(levels) == 1 and len(found.group_names) == 20 and found.names("coarse")[0] == "below five"


def test_probes_have_the_knobs_of_the_protocol() -> None:
    plain = {"objective": {"supcon": {}}, "scores": {"linear_probe": {"l2": 0.5}, "coarse_to_fine": {"iterations": 7}}}
    plain["data"] = {"labels": "coarse", "coarse": "low_high"}
    trial = trial_from(plain)
    assert probe_knobs(trial, "coarse")["l2"] == 0.5 and probe_knobs(trial, "class")["iterations"] == 7
    assert probe_knobs(trial_from({"objective": {"supcon": {}}, "scores": {"geometry": {}}}), "class") == {}


def test_embeddings_are_coloured_by_all_that_is_known(trained: tuple[SweepResult, RepeatResult]) -> None:
    run = trained[0].history.runs[0]
    found = encode_finalist(run, trained[0].folder, {})
    fine, coarse, group = colourings_of(found)
    assert (len(fine.names), len(coarse.names), list(group.names)) == (10, 2, ["conflicting", "aligned"])
    assert "trained on" in coarse.title and "class x aligned" in group.title
    for colouring in (fine, coarse, group):
        assert len(colouring.values) == len(found.judged) == 100 and len(np.unique(colouring.values)) > 1


def test_the_test_split_is_read_for_tested_runs_alone(
    trained: tuple[SweepResult, RepeatResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def watched(data: Any, *, split_seed: int, splits: tuple[str, ...] = ("train", "validation")) -> Any:
        asked.append(splits)
        return load_tables(data, split_seed=split_seed, splits=splits)

    monkeypatch.setattr("raycon.reporting.encoded_finalist.load_tables", watched)
    repetition = Path(shutil.copytree(trained[1].folder, tmp_path / "copy"))
    run = read_sweep(repetition).runs[0]
    before = encode_finalist(run, repetition, {})
    assert before.split == "validation" and asked == [("train", "validation")]
    assert open_test_set(repetition) == 1
    tested = read_sweep(repetition).runs[0]
    after = encode_finalist(tested, repetition, {})
    assert after.split == "test" and asked[1:] == [("train", "validation"), ("test",)]
    right = after.predicted["class"] == after.values("class")
    assert right.mean() == pytest.approx(tested.test["test/coarse_to_fine/accuracy"])
    # Collapse is told of the images that it was measured on while training.
    assert after.untrained == before.untrained
    assert raycon.datasets.load_tables is load_tables


def test_without_weights_the_log_is_drawn_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    realistic_sweep(tmp_path / "s")
    with caplog.at_level(logging.WARNING, logger="raycon"):
        pictures = finalist_pictures(tmp_path / "s")
    assert [picture.path.name for picture in pictures] == ["finalist-collapse.png"]
    (warning,) = caplog.messages
    assert warning.count("run ") >= 3 and "no sound checkpoint" in warning
    caplog.clear()
    assert len(finalist_pictures(tmp_path / "s", embedding="none")) == 1 and not caplog.messages


def test_an_unknown_picture_is_refused_before_any_is_drawn(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s")
    with pytest.raises(InvalidFile, match="did you mean 'tsne'"):
        finalist_pictures(tmp_path / "s", embedding="tsn")


def test_finalists_of_a_sweep(tmp_path: Path, drawn: list[str]) -> None:
    scores = [0.3, 0.5, 0.9, 0.8, 0.7]
    write_sweep(tmp_path / "s", [({"a.x": n}, "complete", {FINE: score}) for n, score in enumerate(scores)])
    (tmp_path / "s" / "sweep.json").write_text('{"canonical": {"sweep": {"first": [{}, {}]}}}')
    assert finalist_pictures(tmp_path / "s") == []
    assert drawn == ["run 2 (best)", "run 0 (sweep.first)", "run 1 (sweep.first)"]
    drawn.clear()
    (tmp_path / "s" / "sweep.json").write_text('{"canonical": {"sweep": {"first": [{}]}}}')
    finalist_pictures(tmp_path / "s")
    assert drawn == ["run 2 (best)", "run 0 (sweep.first)", "run 3 (next best)"]


def test_finalists_of_two_objectives_are_spread_over_the_front(tmp_path: Path, drawn: list[str]) -> None:
    runs: list[Any] = [({"a.x": n}, "complete", {FINE: n / 10, ALIGNMENT: n / 10}) for n in range(9)]
    history = write_sweep(tmp_path / "s", runs, minimize=(ALIGNMENT,))
    assert len(history.pareto_front()) == 9
    finalist_pictures(tmp_path / "s")
    assert drawn == [f"run {number} (Pareto front)" for number in (0, 2, 4, 6, 8)]


def test_finalists_of_a_repetition_share_a_seed(tmp_path: Path, drawn: list[str]) -> None:
    write_sweep(tmp_path / "s", [({"a.x": 1.0}, "failed", {})])
    scores: dict[str, dict[int, float | str]] = {"winner": {1: 0.5, 2: 0.5}, "plain": {1: "diverged", 2: 0.5}}
    write_repeat(tmp_path / "s-repeat-1", "s", {**scores, "lost": {1: "failed", 2: "failed"}})
    finalist_pictures(tmp_path / "s", [tmp_path / "s-repeat-1"])
    assert drawn == ["winner, seed 2", "plain, seed 2"]
    drawn.clear()
    write_repeat(tmp_path / "t", "s", {"winner": {1: 0.5, 2: "failed"}, "plain": {1: "diverged", 2: 0.5}})
    finalist_pictures(tmp_path / "s", [tmp_path / "t"])
    assert drawn == ["winner, seed 1", "plain, seed 2"]


def test_the_other_seeds_of_a_repetition_are_in_its_collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    realistic_sweep(tmp_path / "s")
    realistic_repeat(tmp_path / "s-repeat-1", "s")
    seen: list[int] = []
    monkeypatch.setattr(
        "raycon.reporting.collapse_picture.collapse_picture", lambda title, courses: seen.append(len(courses))
    )
    assert finalist_pictures(tmp_path / "s", [tmp_path / "s-repeat-1"], embedding="none") == []
    assert seen == [3, 15]
