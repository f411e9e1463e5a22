"""Trains one trial: in this process, or with several workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raycon.config import Trial
from raycon.hardware import training_device
from raycon.object_storage import last_part
from raycon.own_code import NO_CODE, OwnCode, activate, own_code, refuse_while_loading
from raycon.runs import Progress, Scored
from raycon.settings import Settings
from raycon.space import Space, first_trial, trial_to_plain
from raycon.train_folder import claimed, claimed_place, default_folder


def train(
    trial: Trial | Space,
    *,
    terms: Sequence[Callable[..., Any]] = (),
    code: OwnCode = NO_CODE,
    folder: Path | str | None = None,
    workers: int = 1,
    resources: Mapping[str, float] | None = None,
    on_event: Callable[[Progress | Scored], None] = lambda event: None,
) -> dict[str, float]:
    """Trains one trial and returns its final metrics. A space stands for its first configuration, and brings its own
    code; `terms` are functions of your own, `code` is that of a trial which stands alone.

    One worker trains in this process, several in a Ray Train run of the same loop. `folder`: where checkpoints go; an
    earlier run of the same trial there is taken up; several workers may have an s3:// or gs:// URI. Without one, one
    worker keeps nothing and several take a folder below RAYCON_STORAGE, else below the output folder. Raises Diverged
    with the step if a loss is not finite, Refused if the folder holds another configuration or is in use.
    """
    refuse_while_loading("raycon.train")
    code += own_code(terms)
    if isinstance(trial, Space):
        code, trial = trial.code + code, first_trial(trial)
    if code:
        activate(code)
    if workers > 1:
        place = folder or default_folder(Settings().shared or Settings().folder, trial, code)
        with claimed_place(place, trial, code) as (where, newest):
            return _train_together(trial, code, where, newest, workers, resources, on_event)
    if folder is None:
        return _train_here(trial, code, None, None, resources, on_event)
    with claimed(folder, trial, code) as resume:
        return _train_here(trial, code, Path(folder), resume, resources, on_event)


def _train_here(
    trial: Trial,
    code: OwnCode,
    folder: Path | None,
    resume: Path | None,
    resources: Mapping[str, float] | None,
    on_event: Callable[[Progress | Scored], None],
) -> dict[str, float]:
    if code.loop is not None:
        from raycon.own_loop import train_here as train_own

        events = train_own(code, trial, folder, resume, training_device(resources))
    else:
        from raycon.training import train_here

        events = train_here(trial, folder, resume, training_device(resources))
    last: Scored | None = None
    for event in events:
        on_event(event)
        last = event if isinstance(event, Scored) else last
    return dict(last.metrics) if last else {}


def _train_together(
    trial: Trial,
    code: OwnCode,
    folder: str,
    resume: str | None,
    workers: int,
    resources: Mapping[str, float] | None,
    on_event: Callable[[Progress | Scored], None],
) -> dict[str, float]:
    """A plain Ray Train run of the same loop."""
    from raycon.cluster.direct import train_workers

    def tell(report: Mapping[str, Any]) -> None:
        if report["kind"] == "progress":
            on_event(Progress(report["epoch"], report["step"], report["steps"], report["metrics"]))
        elif report["kind"] == "scored":
            on_event(Scored(report["epoch"], report["metrics"], report["done"]))

    assignment: dict[str, Any] = {"key": last_part(folder), "number": 0, "attempt": 1, "try": 1}
    assignment |= {"trial": trial_to_plain(trial), "folder": folder, "resume": resume}
    wanted = dict(resources) if resources else None
    metrics: dict[str, float] = train_workers(
        assignment | code.shipped,
        workers,
        folder=Path(folder),
        factory=code.factory,
        resources=wanted,
        on_report=tell,
    )
    return metrics
