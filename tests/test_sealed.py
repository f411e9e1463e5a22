"""The test set: opened for finished repetitions alone, once, counted, from sound final weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import raycon.datasets
from raycon.datasets import ImageTable
from raycon.datasets.loading import load_tables
from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import EventLog
from raycon.history import read_sweep
from raycon.lock import FolderLock
from raycon.repeating import repeat
from raycon.results import RepeatResult, SweepResult
from raycon.sealed import final_checkpoint, open_for_one, open_test_set
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import load
from tests.reporting.synthetic import FINE, write_repeat
from tests.tiny import tiny_file, without_ray

TEST = "test/coarse_to_fine/accuracy"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, RepeatResult]:
    """A sweep of three runs and a repetition of four, trained for real."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        found = sweep(load(tiny_file(folder)), settings=Settings(out=folder / "out", tracking="off"))
        return found, repeat(found.best())


@pytest.fixture
def repetition(trained: tuple[SweepResult, RepeatResult], tmp_path: Path) -> Path:
    """A copy of the repetition that a test may change; the weights that its log names are of the original."""
    return Path(shutil.copytree(trained[1].folder, tmp_path / "copy"))


def _opened(folder: Path) -> int:
    return read_sweep(folder).openings


def test_the_test_set_is_opened_once(repetition: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    assert not any(run.test for run in read_sweep(repetition).runs)
    assert open_test_set(repetition, lambda run: seen.append(run.key)) == 1
    history = read_sweep(repetition)
    assert seen == [run.key for run in history.runs] and len(seen) == 4
    for run in history.runs:
        assert run.test and all(name.startswith("test/") for name in run.test)
        assert 0 <= run.test[TEST] <= 1 and TEST not in run.metrics
    before = (repetition / "events.jsonl").read_bytes()
    monkeypatch.setattr("raycon.sealed.score_test", lambda *_: pytest.fail("scored twice"))
    assert open_test_set(repetition) == 1
    assert (repetition / "events.jsonl").read_bytes() == before


def test_the_same_weights_give_the_same_test_scores(repetition: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(repetition, tmp_path / "other"))
    open_test_set(repetition)
    open_test_set(other)
    assert [run.test for run in read_sweep(repetition).runs] == [run.test for run in read_sweep(other).runs]


def test_training_and_selection_never_ask_for_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def watched(data: object, *, split_seed: int, splits: tuple[str, ...] = ("train", "validation")) -> object:
        asked.append(splits)
        return load_tables(data, split_seed=split_seed, splits=splits)  # type: ignore[arg-type]

    for place in ("raycon.datasets.load_tables", "raycon.training.load_tables"):
        monkeypatch.setattr(place, watched)
    without_ray(monkeypatch)
    found = sweep(load(tiny_file(tmp_path)), settings=Settings(out=tmp_path / "out", tracking="off"))
    repetition = repeat(found.best())
    assert asked and {splits for splits in asked} == {("train", "validation")}
    open_test_set(repetition.folder)
    assert {splits for splits in asked[-4:]} == {("train", "test")}


def test_train_and_test_images_are_the_ones_of_the_split(trained: tuple[SweepResult, RepeatResult]) -> None:
    trial = load(tiny_file(trained[0].folder)).corners()[0].trial
    tables: dict[str, ImageTable] = raycon.datasets.load_tables(
        trial.data, split_seed=7, splits=("train", "validation", "test")
    )
    contents = {name: {image.numpy().tobytes() for image in table.images[:]} for name, table in tables.items()}
    assert not contents["test"] & (contents["train"] | contents["validation"])


def test_a_sweep_is_never_tested(trained: tuple[SweepResult, RepeatResult]) -> None:
    with pytest.raises(Refused, match="repetitions alone") as error:
        open_test_set(trained[0].folder)
    assert error.value.exit_code == 5
    assert _opened(trained[0].folder) == 0


def test_an_unfinished_repetition_stays_closed(tmp_path: Path) -> None:
    write_repeat(tmp_path / "r", "s", {"winner": {1: 0.5, 2: "unfinished"}})
    with pytest.raises(Refused, match="not finished"):
        open_test_set(tmp_path / "r")
    assert _opened(tmp_path / "r") == 0


def test_a_log_without_events_stays_closed(tmp_path: Path) -> None:
    EventLog(RealDisk(), tmp_path / "empty" / "events.jsonl").open()
    with pytest.raises(Refused, match="not finished"):
        open_test_set(tmp_path / "empty")


def test_failed_runs_are_not_tested(tmp_path: Path) -> None:
    write_repeat(tmp_path / "r", "s", {"winner": {1: "failed", 2: "diverged"}})
    assert open_test_set(tmp_path / "r") == 0


def _weights(folder: Path, number: int) -> Path:
    checkpoint = read_sweep(folder).runs[number].checkpoint
    assert checkpoint is not None
    return Path(checkpoint)


@pytest.mark.parametrize("fault", ["flipped", "cut", "gone"])
def test_nothing_is_opened_where_weights_are_damaged(
    trained: tuple[SweepResult, RepeatResult], repetition: Path, fault: str
) -> None:
    place = _weights(repetition, 2)
    shutil.rmtree(repetition / "runs" / read_sweep(repetition).runs[2].key)
    kept = Path(shutil.copytree(place, place.with_name("kept")))
    try:
        content = bytearray((place / "state.safetensors").read_bytes())
        if fault == "flipped":
            content[-5] ^= 1
            (place / "state.safetensors").write_bytes(content)
        elif fault == "cut":
            (place / "state.safetensors").write_bytes(content[:1000])
        else:
            shutil.rmtree(place)
        with pytest.raises(RayconError, match="no sound checkpoint") as error:
            open_test_set(repetition)
        assert error.value.exit_code == 5
        history = read_sweep(repetition)
        assert history.openings == 0 and not any(run.test for run in history.runs)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        kept.rename(place)


def test_weights_of_an_earlier_epoch_are_refused(repetition: Path) -> None:
    place = _weights(repetition, 0)
    shutil.rmtree(repetition / "runs" / read_sweep(repetition).runs[0].key)
    moved = place.rename(place.with_name("epoch-0000"))
    try:
        with pytest.raises(Refused, match=r"epoch-0000, not epoch-0001"):
            open_test_set(repetition)
        assert _opened(repetition) == 0
    finally:
        moved.rename(place)


def test_weights_are_found_in_a_folder_that_was_moved(repetition: Path) -> None:
    places = [_weights(repetition, number).parents[1] for number in range(4)]
    for place in places:
        place.rename(place.with_name(f"{place.name}-hidden"))
    try:
        assert open_test_set(repetition) == 1
    finally:
        for place in places:
            place.with_name(f"{place.name}-hidden").rename(place)


def test_a_new_head_knows_of_an_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    space, settings = load(tiny_file(tmp_path)), Settings(tmp_path / "out", str(tmp_path / "storage"), tracking="off")
    folder = repeat(sweep(space, settings=settings).best()).folder
    copy = tmp_path / "storage" / folder.name / "events.jsonl"
    assert open_test_set(folder) == 1
    assert copy.read_bytes() == (folder / "events.jsonl").read_bytes()
    told = {run.key: run.test for run in read_sweep(folder).runs}
    # The head is lost with its disk; the same commands on another one.
    shutil.rmtree(tmp_path / "out")
    again = repeat(sweep(space, settings=settings).best()).folder
    assert again == folder and _opened(folder) == 1
    assert {run.key: run.test for run in read_sweep(folder).runs} == told
    key = next(iter(told))
    assert open_for_one(folder, key, final_checkpoint(read_sweep(folder).run(key), folder)) == 2
    assert copy.read_bytes() == (folder / "events.jsonl").read_bytes()
    # Who cannot write down that it was opened does not open it.
    copy.rename(copy.with_name("kept"))
    copy.mkdir()
    with pytest.raises(Refused, match=r"copy of the log on .* cannot be read"):
        open_for_one(folder, key, final_checkpoint(read_sweep(folder).run(key), folder))
    assert _opened(folder) == 2
    copy.rmdir()
    copy.with_name("kept").rename(copy)
    monkeypatch.setattr("raycon.mirror.FolderMirror.extend", _raise_disk_full)
    with pytest.raises(Refused, match=r"cannot be written to the copy of the log: .*disk full"):
        open_for_one(folder, key, final_checkpoint(read_sweep(folder).run(key), folder))


def _raise_disk_full(*_: object) -> None:
    raise OSError("disk full")


def test_a_folder_in_use_is_refused(repetition: Path) -> None:
    with FolderLock(repetition), pytest.raises(Refused, match="locked"):
        open_test_set(repetition)


def test_objectives_are_validation_scores_throughout(trained: tuple[SweepResult, RepeatResult]) -> None:
    for result in trained:
        assert result.history.maximize == (FINE,)
