"""The workers of one run without a sweep: they go on from the same epoch, or not at all."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from raycon.cluster.direct import train_rank
from raycon.space import trial_to_plain
from tests.training.trials import small_trial


class Reports:
    """What a rank puts into the queue, in a file."""

    def __init__(self, path: Path):
        self.path = path

    def put(self, report: dict[str, Any]) -> None:
        with self.path.open("a") as stream:
            stream.write(json.dumps(report) + "\n")


def _rank(rank: int, folder: Path) -> None:
    """Rank `rank` of two: the whole run, the run resumed, and the run where the second rank is on a node that does not
    have its folder."""
    torch.set_num_threads(1)
    untyped: Any = ray.train
    untyped.get_context = lambda: SimpleNamespace(get_world_rank=lambda: rank, get_world_size=lambda: 2)
    untyped.torch.get_device = lambda: torch.device("cpu")
    first = f"{folder}/run/attempt-1/epoch-0001"
    elsewhere = f"{folder}/elsewhere/attempt-1/epoch-0001"
    for name, resume in (("whole", None), ("resumed", first), ("apart", (first, elsewhere)[rank])):
        _train(rank, folder, name, resume)


def _train(rank: int, folder: Path, name: str, resume: str | None) -> None:
    meet, patience = f"file://{folder}/meet-{name}", timedelta(seconds=100)
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=2, timeout=patience)
    size = {"data__train_size": 64, "data__validation_size": 20, "training__epochs": 2}
    trial = trial_to_plain(small_trial(objective={"supcon": {}}, scores={"nearest_neighbours": {}}, **size))
    assignment = {"key": "one", "number": 0, "attempt": 1, "try": 1, "trial": trial, "folder": f"{folder}/run"}
    settings = {"factory": "raycon.training:open_run", "reports": Reports(folder / f"{name}-{rank}")}
    try:
        train_rank({**settings, "assignment": {**assignment, "resume": resume}})
    except RuntimeError as error:
        (folder / f"{name}-{rank}-raised").write_text(str(error))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_workers_that_would_go_on_from_different_epochs_end(tmp_path: Path) -> None:
    spawn(_rank, args=(tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    whole, resumed = ([r for r in _told(tmp_path, name) if r["kind"] == "scored"] for name in ("whole", "resumed"))
    assert [report["epoch"] for report in whole] == [1, 2]
    assert [report["epoch"] for report in resumed][-1] == 2
    score = "validation/nearest_neighbours/accuracy"
    assert resumed[-1]["metrics"][score] == whole[-1]["metrics"][score]
    for rank in (0, 1):
        (told,) = _told(tmp_path, "apart", rank)
        assert told["kind"] == "ended" and told["state"] == "failed"
        assert "go on from different epochs, 0 to 1: not all of them can read the checkpoints" in told["reason"]
        assert (tmp_path / f"apart-{rank}-raised").read_text() == told["reason"]


def _told(folder: Path, name: str, rank: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}-{rank}").read_text().splitlines()]
