"""All that reads weights after a sweep, where they lie in a bucket: continuation, test set, bundle, reuse, own loop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raycon
from raycon.encoder_sources import checkpoint_of, from_checkpoint
from raycon.errors import MissingData, Refused
from raycon.history import LOG_NAME, read_sweep
from raycon.object_storage import ObjectFolder
from raycon.own_code import OwnCode, activate, own_code
from raycon.replication.bundle import write_bundle
from raycon.replication.verify import verify_bundle
from raycon.results import RepeatResult, SweepResult
from raycon.sealed import final_checkpoint, final_place, open_test_set
from raycon.settings import Settings
from tests.buckets import Server, environment, s3_server
from tests.tiny import tiny_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = Path(raycon.__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Made:
    """A sweep and its repetition, with nothing but their logs in the output folder."""

    sweep: SweepResult
    repeats: RepeatResult
    bucket: ObjectFolder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("moto")
    with s3_server(folder) as server, environment({**server.settings, "RAYCON_CACHE": str(folder / "cache")}):
        yield server


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    settings = Settings(out=folder / "out", storage=f"{server.uri}/made", tracking="off", here=True)
    sweep = raycon.sweep(tiny_file(folder), settings=settings)
    return Made(sweep, raycon.repeat(sweep.best()), ObjectFolder(f"{server.uri}/made"))


def test_weights_lie_in_the_bucket_and_nowhere_else(made: Made) -> None:
    for folder in (made.sweep.folder, made.repeats.folder):
        run = read_sweep(folder).runs[0]
        place = f"s3://raycon-test/made/{folder.name}/runs/{run.key}/attempt-1/epoch-0001"
        assert run.checkpoint == place == final_place(run, folder)
        assert made.bucket.read(f"{folder.name}/{LOG_NAME}") == (folder / LOG_NAME).read_bytes()
    assert not list(made.sweep.folder.parent.rglob("*.safetensors"))


def test_an_output_folder_that_was_lost_is_fetched_and_the_sweep_goes_on(made: Made, tmp_path: Path) -> None:
    settings = Settings(out=tmp_path, storage=made.bucket.uri, tracking="off", here=True)
    before = (made.sweep.folder / LOG_NAME).read_bytes()
    found = raycon.sweep(made.sweep.space, settings=settings)
    assert (found.folder / LOG_NAME).read_bytes() == before, "finished is finished"
    names = set(made.bucket.names())
    more = raycon.sweep(made.sweep.space, trials=4, settings=settings)
    assert [attempt.number for attempt in more.history.attempts] == [1, 2]
    assert len(set(made.bucket.names()) - names) == 2, "one checkpoint more"
    shutil.copy(found.folder / LOG_NAME, made.sweep.folder / LOG_NAME)


def test_an_encoder_is_found_by_the_log(made: Made, tmp_path: Path) -> None:
    best = made.sweep.best().run
    found = from_checkpoint(made.sweep.folder, None)
    assert (found.key, found.name, found.sweep) == (best.key, best.checkpoint, made.sweep.folder)
    other = made.sweep.history.runs[1]
    found = from_checkpoint(made.sweep.folder / "runs" / other.key, None)
    assert (found.key, found.name) == (other.key, other.checkpoint)
    assert checkpoint_of(made.sweep.folder) == final_checkpoint(best, made.sweep.folder)
    with pytest.raises(MissingData, match="does not exist"):
        checkpoint_of(made.sweep.folder / "runs" / "0009-nobody")


def test_the_test_set_is_opened_from_the_bucket(made: Made) -> None:
    assert open_test_set(made.repeats.folder) == 1
    assert all(run.test for run in made.repeats.history.runs)


def test_weights_are_bundled_from_the_bucket(made: Made, tmp_path: Path) -> None:
    write_bundle(made.repeats.folder, tmp_path / "bundle.zip", weights=True)
    assert any("weights: of 4 run(s)" in line for line in verify_bundle(tmp_path / "bundle.zip").checks)


def test_finished_runs_are_taken_over_only_while_their_weights_are_there(made: Made) -> None:
    best = made.sweep.best()
    again = raycon.repeat(best, seeds=[101])
    assert all(run.reused for run in again.history.runs)
    place = ObjectFolder(made.repeats.history.runs[0].checkpoint or "")
    manifest = place.read("manifest.json") or b""
    place.delete("manifest.json")
    other = raycon.repeat(best, seeds=[101], against={})
    assert [run.reused for run in other.history.runs] == [None]
    with pytest.raises(Refused, match="no sound checkpoint left in s3://"):
        final_checkpoint(made.repeats.history.runs[0], made.repeats.folder)
    place.write("manifest.json", manifest)


class Impatient:
    """Interrupts a sweep after the second epoch of a run."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "scored" and event["epoch"] == 2:
            raise KeyboardInterrupt


def test_a_loop_of_ones_own_keeps_its_state_in_the_bucket(server: Server, tmp_path: Path) -> None:
    code = own_code(files=[EXAMPLES / "own_loop.py"])
    space = raycon.load(EXAMPLES / "own_loop.yaml", ["sweep.trials=1"], code=code)
    whole = raycon.sweep(space, settings=Settings(out=tmp_path / "whole", tracking="off", here=True)).history.runs[0]
    settings = Settings(out=tmp_path / "out", storage=f"{server.uri}/own", tracking="off", here=True)
    with pytest.raises(KeyboardInterrupt):
        raycon.sweep(space, settings=settings, observer=Impatient())
    shutil.rmtree(tmp_path / "out")
    run = raycon.sweep(space, settings=settings).history.runs[0]
    assert run.epochs == whole.epochs and run.total_epochs > 2
    assert [place.split("/")[-2] for place in run.checkpoints.values()][:3] == ["attempt-1", "attempt-1", "attempt-2"]
    assert any("/code/" in name for name in ObjectFolder(f"{server.uri}/own").names())
    activate(OwnCode())
