"""The `sweep`, `repeat` and `ablation` sections of a file: their shape, what they aim at, that they fit the trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from raycon.config import Ablation, Repeat, Sweep, Trial
from raycon.datasets import describe
from raycon.errors import InvalidFile
from raycon.metric_names import metric, searchable
from raycon.space.schema import build
from raycon.wording import shown

NEEDS_ALIGNED = ("groups/aligned_accuracy", "groups/conflicting_accuracy")
"""Metrics that only exist where the data say of each image whether it agrees with its bias."""


def read_sweep(raw: Any, *, searched: bool) -> Sweep:
    """The sweep of a file. searched: whether the file has holes or a `sweep`, so that it must say what it aims at.

    `maximize` and `minimize` are a name or a list of names. Raises InvalidFile with a dotted field.
    """
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        raise InvalidFile(f"should be a mapping, not {shown(raw)}", field="sweep")
    written = dict(raw)
    for side in ("maximize", "minimize"):
        if isinstance(written.get(side), str):
            written[side] = [written[side]]
    sweep = build(Sweep, written, prefix="sweep")
    if searched and not (sweep.maximize or sweep.minimize):
        raise InvalidFile("needs maximize or minimize: the validation score to search for", field="sweep")
    _check_aims(sweep)
    return sweep


def _check_aims(sweep: Sweep) -> None:
    aims = [*sweep.maximize, *sweep.minimize]
    for side, better in (("maximize", "higher"), ("minimize", "lower")):
        for index, name in enumerate(getattr(sweep, side)):
            field = f"sweep.{side}"
            direction = _searchable(name, field).direction
            if direction != better:
                other = "minimize" if side == "maximize" else "maximize"
                raise InvalidFile(f"of {name}, {direction} is better: write it under {other}", field=field)
            if aims.count(name) > 1:
                raise InvalidFile(f"{name} stands twice", field=f"{field}.{index}" if index else field)
    if sweep.gate is not None:
        _searchable(sweep.gate, "sweep.gate")
        if sweep.stop_early is None:
            raise InvalidFile("has no use without sweep.stop_early", field="sweep.gate")
    elif len(aims) > 1 and sweep.stop_early is not None:
        raise InvalidFile(
            f"with {len(aims)} aims, stopping early needs one score to go by: set sweep.gate", field="sweep.gate"
        )


def _searchable(name: str, field: str) -> Any:
    try:
        return searchable(name)
    except InvalidFile as error:
        raise InvalidFile(error.reason, field=field) from None


def check_sweep_fits(sweep: Sweep, trial: Trial) -> None:
    """Refuses a sweep that this trial cannot serve: an aim that it does not score, a rung that it does not reach."""
    named = [("sweep.maximize", sweep.maximize), ("sweep.minimize", sweep.minimize), ("sweep.gate", (sweep.gate,))]
    for field, names in named:
        for name in names:
            protocol = name.split("/")[1] if name else None
            if protocol is not None and protocol not in trial.scores:
                known = ", ".join(trial.scores) or "none"
                raise InvalidFile(f"{name} needs {protocol!r} among the trial's scores ({known})", field=field)
            if name is not None:
                check_offered(name, trial, field)
    if sweep.stop_early is not None:
        if trial.training.score_every == 0:
            reason = "goes by validation scores during training: set training.score_every to 1 or more"
            raise InvalidFile(reason, field="sweep.stop_early")
        if sweep.stop_early.after >= trial.training.epochs:
            reason = f"should be below training.epochs ({trial.training.epochs}), not {sweep.stop_early.after}"
            raise InvalidFile(reason, field="sweep.stop_early.after")


def check_offered(name: str, trial: Trial, field: str) -> None:
    """Refuses a metric that the protocol only gives for other data than the trial's. Raises InvalidFile."""
    if name.endswith(NEEDS_ALIGNED) and "aligned" not in describe(trial.data).attributes:
        reason = f"{name} needs images that a bias agrees with or not: set data.bias, or take worst_accuracy"
        raise InvalidFile(reason, field=field)


def check_first_fits(sweep: Sweep) -> None:
    """Refuses a sweep too short for the configurations that it is to begin with."""
    if sweep.trials < len(sweep.first):
        reason = f"{sweep.trials} is less than the {len(sweep.first)} configurations of sweep.first, which all run"
        raise InvalidFile(reason, field="sweep.trials")


def read_repeat(raw: Any) -> Repeat:
    """The repeat section of a file. Raises InvalidFile with a dotted field."""
    repeat = build(Repeat, {} if raw is None else raw, prefix="repeat")
    if not repeat.seeds:
        raise InvalidFile("needs at least one seed", field="repeat.seeds")
    for index, seed in enumerate(repeat.seeds):
        if seed in repeat.seeds[:index]:
            raise InvalidFile(f"{seed} stands twice", field=f"repeat.seeds.{index}")
    if repeat.score is not None:
        try:
            metric(repeat.score)
        except InvalidFile as error:
            raise InvalidFile(error.reason, field="repeat.score") from None
        if repeat.score.startswith("train/"):
            raise InvalidFile("is judged on images that no run has trained on: validation/...", field="repeat.score")
    for name in repeat.against:
        if not name or len(name) > 64:
            raise InvalidFile("a name has 1 to 64 characters", field="repeat.against")
    return repeat


def check_repeat_fits(repeat: Repeat, trial: Trial) -> None:
    """Refuses seeds that the selection has used: a winner is judged on fresh ones."""
    used = dataclasses.asdict(trial.seeds)
    for index, seed in enumerate(repeat.seeds):
        for name, own in used.items():
            if seed == own:
                reason = f"{seed} is seeds.{name}, on which the winner was chosen; judge it on fresh seeds"
                raise InvalidFile(reason, field=f"repeat.seeds.{index}")


def read_ablation(raw: Mapping[str, Any]) -> Ablation:
    """The `ablation` section of a file. Raises InvalidFile with a dotted field."""
    design = build(Ablation, raw, prefix="ablation")
    if len(design.seeds) < 2 or len(set(design.seeds)) < len(design.seeds):
        raise InvalidFile("needs at least two seeds, each once", field="ablation.seeds")
    if design.of == "best" and design.values:
        raise InvalidFile("are those of the sweep's best run when `of` is best", field="ablation.values")
    return design
