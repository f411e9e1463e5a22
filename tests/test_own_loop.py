"""Loops of one's own: seeded, resumed at every epoch exactly, judged, and refused by name where they cannot work."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import raycon
from raycon.checkpoints import is_sound
from raycon.cluster.engine import Engine, Report
from raycon.config import Trial
from raycon.errors import InvalidFile, RayconError, Refused
from raycon.one_trial import train
from raycon.own_code import OwnCode, activate, own_code
from raycon.own_loop import FACTORY, Checkpoint, OwnRun, score
from raycon.runs import Progress, Scored, World
from raycon.space import first_trial
from tests.training.trials import small_trial

EXAMPLES = Path(raycon.__file__).parents[1] / "examples"
ACCURACY = "validation/coarse_to_fine/accuracy"


@pytest.fixture(autouse=True)
def _ours_alone() -> Iterator[None]:
    yield
    activate(OwnCode())


@pytest.fixture
def code() -> OwnCode:
    return own_code(files=[EXAMPLES / "own_loop.py"])


def work(code: OwnCode, folder: Path, **changes: Any) -> dict[str, Any]:
    trial = first_trial(raycon.load(EXAMPLES / "own_loop.yaml", code=code))
    plain = raycon.space.trial_to_plain(trial)
    found = {"key": "k", "number": 0, "attempt": 1, "try": 1, "trial": plain, "folder": str(folder), "resume": None}
    return found | {"code": list(code.texts)} | changes


def finish(engine: Engine, assignment: dict[str, Any], epochs: int = 99) -> list[Report]:
    """The scored reports of a run, from its beginning or checkpoint on, for at most so many epochs."""
    failed = engine.begin(assignment)
    assert failed is None, failed
    reports: list[Report] = []
    while len(reports) < epochs and not (reports and reports[-1].done):
        report = engine.next()
        assert report.kind != "ended", report.reason
        reports += [report] if report.kind == "scored" else []
    return reports


def test_a_run_that_is_interrupted_after_any_epoch_equals_the_whole_one(code: OwnCode, tmp_path: Path) -> None:
    whole = finish(Engine(FACTORY, World()), work(code, tmp_path / "whole"))
    assert [report.epoch for report in whole] == [1, 2, 3, 4] and whole[-1].done
    assert whole[-1].metrics[ACCURACY] > 0.9
    for stop in (1, 2, 3):
        folder = tmp_path / f"stop-{stop}"
        begun = finish(Engine(FACTORY, World()), work(code, folder), epochs=stop)
        checkpoint = begun[-1].checkpoint
        assert checkpoint is not None and is_sound(Path(checkpoint))
        torch.manual_seed(99)
        numpy.random.seed(99)
        rest = finish(Engine(FACTORY, World()), work(code, folder, resume=checkpoint))
        # The result of the checkpoint is told again: the driver may never have heard it.
        assert [report.epoch for report in rest] == list(range(stop, 5))
        assert [report.metrics for report in rest] == [report.metrics for report in whole[stop - 1 :]]


def test_seeds_make_the_difference(code: OwnCode, tmp_path: Path) -> None:
    first = finish(Engine(FACTORY, World()), work(code, tmp_path / "a"), epochs=1)
    engine = Engine(FACTORY, World())
    finish(engine, work(code, tmp_path / "b"))
    assert finish(engine, work(code, tmp_path / "c"), epochs=1)[0].metrics == first[0].metrics
    for name in ("init", "order"):
        other = work(code, tmp_path / name)
        other["trial"]["seeds"][name] = 7
        assert finish(engine, other, epochs=1)[0].metrics != first[0].metrics


def test_train_goes_on_in_its_folder(code: OwnCode, tmp_path: Path) -> None:
    space = raycon.load(EXAMPLES / "own_loop.yaml", code=code)
    seen: list[int] = []
    metrics = train(space, folder=tmp_path / "run", on_event=lambda event: seen.append(event.epoch))
    assert train(space, folder=tmp_path / "run", on_event=lambda event: seen.append(event.epoch)) == metrics
    assert seen == [1, 2, 3, 4, 4]


def test_the_example_changes_at_most_15_lines_of_the_plain_loop() -> None:
    def lines(name: str) -> list[str]:
        text = (EXAMPLES / name).read_text().split('"""', 2)[2].split("if __name__")[0]
        return [line for line in text.splitlines() if line.strip()]

    compared = list(difflib.ndiff(lines("plain_loop.py"), lines("own_loop.py")))
    new = [line for line in compared if line.startswith("+ ")]
    assert len(new) == 13 <= 15
    assert "13 lines" in (EXAMPLES / "own_loop.py").read_text()


def events(loop: Callable[..., Any], trial: Trial, resume: Path | None = None) -> list[Progress | Scored]:
    return list(OwnRun(loop, trial, World(), resume).events)


def test_progress_and_the_last_epoch() -> None:
    def loop(trial: Trial) -> Iterator[Progress | Scored]:
        for epoch in range(1, trial.training.epochs + 1):
            yield Progress(epoch, 1, 2)
            yield Scored(epoch, {"validation/linear_probe/accuracy": 1})

    found = events(loop, small_trial(training__epochs=2))
    assert [type(event).__name__ for event in found] == ["Progress", "Scored"] * 2
    assert [event.done for event in found if isinstance(event, Scored)] == [False, True]
    assert isinstance(found[1], Scored) and isinstance(found[1].metrics["validation/linear_probe/accuracy"], float)


@pytest.mark.parametrize(
    ("event", "error", "reason"),
    [
        (Scored(2), RayconError, "Scored epoch 2, expected 1"),
        (Scored(1, {"validation/linear_probe/acuracy": 1.0}), InvalidFile, "not a known metric"),
        (Scored(1, {"accuracy": 1.0}), InvalidFile, "a name has three parts"),
    ],
)
def test_results_that_mean_nothing_are_refused(event: Scored, error: type[Exception], reason: str) -> None:
    def loop(trial: Trial) -> Iterator[Scored]:
        yield event

    with pytest.raises(error, match=reason):
        events(loop, small_trial())


def test_an_epoch_without_a_result_is_refused() -> None:
    def loop(checkpoint: Checkpoint) -> Iterator[Scored]:
        for epoch in checkpoint.epochs():
            if epoch == 3:
                yield Scored(epoch)

    with pytest.raises(RayconError, match="epoch 1 ended without a Scored"):
        events(loop, small_trial(training__epochs=3))


def test_a_loop_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    def loop(trial: Trial) -> Iterator[Scored]:
        for epoch in (1, 2):
            yield Scored(epoch)

    trial = small_trial(training__epochs=2)
    run = OwnRun(loop, trial, World(), None)
    next(run.events)
    run.save(tmp_path / "attempt-1" / "epoch-0001")
    assert [event.epoch for event in events(loop, trial, tmp_path / "attempt-1" / "epoch-0001")] == [1, 2]


def test_all_kinds_of_state_come_back_as_they_were(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    tied = torch.nn.ModuleList([layer, layer])
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    notes: dict[Any, Any] = {"best": float("inf"), 3: [1, None, ("a", True)], "seen": torch.arange(3)}
    trial, place = small_trial(), tmp_path / "attempt-1" / "epoch-0001"
    first = Checkpoint(trial, World(), None)
    first.keep(model=tied, optimiser=optimiser, notes=notes)
    first.epoch, first.scored = 1, {"train/objective/total": 2.0}
    first.save(place)
    other = torch.nn.ModuleList([torch.nn.Linear(2, 2)] * 2)
    its_own = torch.optim.SGD(other.parameters(), lr=0.5, momentum=0.9)
    found: dict[Any, Any] = {"best": 0}
    second = Checkpoint(trial, World(), place)
    second.keep(model=other, optimiser=its_own, notes=found)
    assert second.epoch == 1 and second.scored == first.scored
    assert all(torch.equal(a, b) for a, b in zip(tied.parameters(), other.parameters(), strict=True))
    assert its_own.param_groups[0]["lr"] == 0.1
    buffers = (
        [s["momentum_buffer"] for s in optimiser.state.values()],
        [s["momentum_buffer"] for s in its_own.state.values()],
    )
    assert buffers[0] and all(torch.equal(a, b) for a, b in zip(*buffers, strict=True))
    assert torch.equal(found.pop("seen"), notes.pop("seen")) and found == notes
    with pytest.raises(RayconError, match="called twice"):
        second.keep(again=notes)


def test_parts_that_cannot_be_kept_or_found_are_told(tmp_path: Path) -> None:
    trial, place = small_trial(), tmp_path / "attempt-1" / "epoch-0001"
    first = Checkpoint(trial, World(), None)
    first.keep(notes={"when": object()})
    with pytest.raises(RayconError, match=r"notes\.when is a object"):
        first.save(place)
    other = Checkpoint(trial, World(), None)
    other.keep(notes={"a": 1})
    other.save(place)
    with pytest.raises(RayconError, match="the checkpoint holds notes, not model"):
        Checkpoint(trial, World(), place).keep(model={})


def test_score_is_that_of_any_encoder() -> None:
    trial = small_trial()
    flat = score(trial, lambda images: images.flatten(1))
    assert flat and all(name.startswith("validation/") for name in flat)
    constant = score(trial, lambda images: torch.ones(len(images), 4))
    name = next(name for name in flat if name.endswith("accuracy"))
    assert flat[name] > constant[name] + 0.2


def test_weights_of_an_own_loop_are_not_tested(code: OwnCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raycon import sealed

    history = type("H", (), {"runs": [], "finished": True, "openings": 0})()
    monkeypatch.setattr(sealed, "kept_code", lambda folder: code)
    monkeypatch.setattr("raycon.history.SweepHistory.of", lambda events: history)
    with pytest.raises(Refused, match="a loop of your own"):
        sealed.open_test_set(tmp_path)
