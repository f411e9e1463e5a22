"""The examples of own terms and loops, run on a real Ray: what CI shows of them is what a user gets."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import raycon
from raycon.history import SweepHistory, read_sweep
from raycon.own_code import OwnCode, activate, kept_code
from raycon.settings import Settings
from raycon.space import load
from raycon.sweep_folders import find_sweep, found_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_cluster")]

EXAMPLES = Path(raycon.__file__).parents[1] / "examples"
ACCURACY = "validation/coarse_to_fine/accuracy"


@pytest.fixture(autouse=True)
def _ours_alone() -> Iterator[None]:
    yield
    activate(OwnCode())


def imported(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"example_{name}"] = module
    spec.loader.exec_module(module)
    return module


def here(folder: Path, slots: int = 2) -> Settings:
    return Settings(out=folder, slots=slots, resources={"cpu": 0.5}, tracking="off")


def scores(history: SweepHistory) -> list[dict[str, float]]:
    return [{n: v for n, v in run.metrics.items() if "speed" not in n} for run in history.runs]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_own_term_is_searched_gathered_and_repeated(tmp_path: Path, workers: int) -> None:
    terms = imported("own_term").TERMS
    changes = [f"sweep.workers={workers}", "training.precision=float64"]
    space = raycon.load(EXAMPLES / "own_term.yaml", changes, terms=terms)
    result = raycon.sweep(space, trials=2 if workers == 2 else None, settings=here(tmp_path, slots=1))
    history = result.history
    assert {run.state for run in history.runs} == {"complete"}
    assert "train/objective/centred_alignment" not in history.runs[0].metrics
    assert history.runs[1].metrics["train/objective/centred_alignment"] > 0
    assert result.best().metrics[ACCURACY] > 0.6
    # One worker and two see the same batches, and the term sees the whole of each.
    alone = raycon.train(space.trial(history.runs[1].values), code=space.code)
    for name, value in scores(history)[1].items():
        assert alone[name] == pytest.approx(value, rel=1e-6), name
    if workers == 1:
        again = load(EXAMPLES / "own_term.yaml", changes, code=kept_code(result.folder))
        repetition = raycon.repeat(found_sweep(again, here(tmp_path)).best())
        assert [difference.rival for difference in repetition.differences()] in ([], ["without"])
        assert {run.state for run in repetition.history.runs} == {"complete"}
        assert kept_code(repetition.folder) == space.code


def test_an_own_loop_survives_a_kill_and_gives_verdicts(tmp_path: Path) -> None:
    module = imported("own_loop")
    file = EXAMPLES / "own_loop.yaml"
    calm = raycon.sweep(file, train=module.my_loop, settings=here(tmp_path / "calm", slots=1))

    class Killer:
        """Kills the trial actor once, after the second epoch of run 1."""

        killed = False

        def on_event(self, event: Any) -> None:
            if event["kind"] == "scored" and event["number"] == 1 and event["epoch"] == 2 and not self.killed:
                self.killed = True
                process = next(p for p in read_sweep(tmp_path / "killed" / "own-loop").processes if "actor" in p.role)
                psutil.Process(process.pid).kill()

    killer = Killer()
    killed = raycon.sweep(file, train=module.my_loop, settings=here(tmp_path / "killed", slots=1), observer=killer)
    assert killer.killed and any(run.losses for run in killed.history.runs)
    assert scores(killed.history) == scores(calm.history)
    best = calm.best()
    assert best.metrics[ACCURACY] > 0.9
    (difference,) = raycon.repeat(best).differences()
    assert difference.rival == "slow" and len(difference.differences) == 2 and difference.interval is not None
    assert find_sweep(str(file), here(tmp_path / "calm")) == calm.folder
