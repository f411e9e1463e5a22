"""What people call from Python, on trained and on synthetic results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raycon
from raycon import api
from raycon.demo import demo_space
from raycon.errors import Diverged, InvalidFile, RayconError, Refused
from raycon.results import SweepResult
from raycon.runs import Progress, Scored
from raycon.settings import Settings
from raycon.space import first_trial, load
from tests.reporting.synthetic import (
    FINE,
    realistic_sweep,
    write_repeat,
)
from tests.tiny import tiny_file, without_ray


def test_the_package_offers_what_the_design_promises() -> None:
    for name in ("load", "train", "sweep", "repeat", "report"):
        assert callable(getattr(raycon, name))
    assert hasattr(raycon, "losses")


def test_the_first_trial_is_the_first_given_one_or_the_middle(tmp_path: Path) -> None:
    given = first_trial(load(tiny_file(tmp_path)))
    assert given.objective["supcon"]["temperature"] == 0.1 and "reconstruction" not in given.objective
    text = tiny_file(tmp_path).read_text()
    start = text.index("  first:")
    (tmp_path / "middle.yaml").write_text(text[:start] + text[text.index("repeat:") :])
    middle = first_trial(load(tmp_path / "middle.yaml"))
    assert middle.objective["supcon"]["temperature"] == pytest.approx((0.05 * 0.5) ** 0.5)
    assert middle.objective["reconstruction"]["weight"] == pytest.approx(1.0)


def test_a_space_trains_as_its_first_trial_and_goes_on_from_its_folder(tmp_path: Path) -> None:
    space = load(tiny_file(tmp_path))
    seen: list[Progress | Scored] = []
    by_space = raycon.train(space, on_event=seen.append)
    by_trial = raycon.train(first_trial(space), folder=tmp_path / "weights")
    again = raycon.train(first_trial(space), folder=tmp_path / "weights")
    assert [type(event) for event in seen] == [Scored]
    scores = [{k: v for k, v in found.items() if "speed" not in k} for found in (by_space, by_trial, again)]
    assert scores[0] == scores[1] == scores[2] and FINE in scores[0]
    assert by_trial == again


def test_a_loss_that_is_not_finite_is_told_with_its_step(tmp_path: Path) -> None:
    space = load(tiny_file(tmp_path), ["training.learning_rate=1e30", "training.optimiser=sgd", "training.epochs=3"])
    with pytest.raises(Diverged, match=r"epoch \d+, step \d+"):
        raycon.train(space)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        return api.sweep(load(tiny_file(folder)), settings=Settings(out=folder / "out", tracking="off"))


def test_the_ten_lines_of_the_design(swept: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    assert [run.state for run in swept.history.runs] == ["complete"] * 3
    repetition = api.repeat(swept.best(), seeds=range(4), score=None)
    (difference,) = repetition.differences()
    assert difference.seeds == (0, 1, 2, 3) and difference.rival == "plain" and difference.lost == ()
    assert repetition.score == FINE
    for run in repetition.history.runs:
        assert run.seeds == dict.fromkeys(("split", "init", "order"), run.values["seed"])
    page = api.report("tiny", settings=swept.settings, embedding="none")
    assert difference.line in page.read_text()


def test_the_same_repetition_again_runs_nothing(swept: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    first = api.repeat(swept.best(), seeds=[11, 12])
    monkeypatch.setattr("raycon.training.open_run", lambda *_: pytest.fail("trained again"))
    assert api.repeat(swept.best(), seeds=[11, 12]) == first


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"seeds": [42]}, Refused, "chose the configuration"),
        ({"seeds": [1, 1]}, InvalidFile, "twice"),
        ({"score": "test/coarse_to_fine/accuracy"}, InvalidFile, "report --test"),
        ({"against": {"winner": {}}}, InvalidFile, "the name of what the rivals"),
        ({"against": {"other": {"objective.supcon.temprature": 0.1}}}, InvalidFile, "did you mean"),
    ],
)
def test_a_repetition_that_could_not_judge_is_refused(
    swept: SweepResult, options: dict[str, Any], kind: type[RayconError], reason: str
) -> None:
    before = sorted(swept.settings.folder.iterdir())
    with pytest.raises(kind, match=reason):
        api.repeat(swept.best(), **options)
    assert sorted(swept.settings.folder.iterdir()) == before


def test_the_test_set_stays_closed_without_a_finished_repetition(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s")
    with pytest.raises(Refused, match="has no repetition"):
        api.report("s", settings=Settings(out=tmp_path), test=True)
    write_repeat(tmp_path / "s-repeat-1", "s", {"winner": {1: 0.5, 2: "unfinished"}})
    with pytest.raises(Refused, match="s-repeat-1 is not finished"):
        api.report("s", settings=Settings(out=tmp_path), test=True)


def test_the_demo_is_shipped_and_valid() -> None:
    space = demo_space()
    assert space.name == "digits-demo" and space.sweep.trials >= 6
    assert first_trial(space).data.dataset == "digits" and space.repeat.against
