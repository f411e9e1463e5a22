"""Searches a space: what its `sweep` section asks for is checked and carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raycon.errors import InvalidFile
from raycon.execution import check_data, execute
from raycon.observer import Observer
from raycon.own_code import refuse_while_loading
from raycon.results import SweepResult
from raycon.settings import Settings
from raycon.space import Space, first_trial
from raycon.space_loading import with_own_code
from raycon.sweep_folders import own_folder


def sweep(
    space: Space | str | Path,
    *,
    terms: Sequence[Callable[..., Any]] = (),
    train: Callable[..., Any] | None = None,
    trials: int | None = None,
    settings: Settings = Settings(),
    observer: Observer | None = None,
    fork: bool = False,
) -> SweepResult:
    """Searches a space with Ray and Optuna, all of it in MLflow; the same call continues where the last one ended.

    space: as `load` gives it, or its file. terms: functions of your own that it names. train: a generator function of
    your own in place of the shipped loop (see `raycon.own_loop`). The text of both is part of the search's identity.
    trials: how many runs in all, by default the file's; more than before extends a finished sweep. Raises Refused if
    the folder holds another search of that name (with `fork`, this one gets a folder of its own beside it), InvalidFile
    and MissingData before anything is started, SomeRunsFailed at the end if a run failed.
    """
    refuse_while_loading("raycon.sweep")
    space = with_own_code(space, terms, train)
    if trials is not None and (isinstance(trials, bool) or trials < 1):
        raise InvalidFile(f"should be a whole number from 1 on, not {trials!r}", field="--trials")
    wanted = replace(space.sweep, trials=trials or space.sweep.trials)
    if not (wanted.maximize or wanted.minimize):
        raise InvalidFile(
            "needs maximize or minimize: the validation score to search for",
            file=str(space.source) if space.source else None,
            field="sweep",
        )
    if wanted.trials < len(wanted.first):
        reason = f"{wanted.trials} is less than the {len(wanted.first)} configurations of sweep.first, which all run"
        raise InvalidFile(reason, field="--trials")
    if space.code.loop is None:
        space.located(lambda: check_data(first_trial(space)))
    from raycon.cluster.sampling import OptunaSampler

    folder = own_folder(space, settings) if fork else settings.folder / space.name
    execute(folder.name, space.identity(), space, OptunaSampler(space, wanted), wanted, settings, observer, space.code)
    return SweepResult(space, folder, settings)
