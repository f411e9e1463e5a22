"""The test set of a repetition: opened by `report` or `eval`, counted in the log, after everything has been chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from raycon.checkpoint_storage import kept_copy, local_copy, newest_place
from raycon.disk import RealDisk
from raycon.errors import Refused
from raycon.events import EventLog, plain_metrics
from raycon.history import LOG_NAME, RunRecord, SweepHistory
from raycon.lock import FolderLock
from raycon.mirror import mirror_at
from raycon.object_storage import above, is_uri, last_part, shown
from raycon.own_code import activate, kept_code


def open_test_set(folder: Path, on_run: Callable[[RunRecord], None] = lambda run: None) -> int:
    """Computes the test scores of all complete runs of a repetition from their final weights, and logs them.

    Runs that have test scores already keep them; if there are none left to score, nothing is opened or counted. Nor is
    anything opened before it is certain that the final weights of all runs are there. Returns the number of openings so
    far. Raises Refused for a sweep (its seeds chose the winner), for a repetition that is not finished, for weights
    that are missing or damaged, where another process holds the folder, and where the storage, whose copy of the log
    has to know of each opening, cannot be read or written.
    """
    with FolderLock(folder):
        log, history = _opened_log(folder)
        _check_may_open(history, folder)
        code = kept_code(folder)
        if code.loop is not None:
            raise Refused("these runs are of a loop of your own, whose weights raycon cannot score")
        activate(code)
        waiting = [run for run in history.runs if run.state == "complete" and not run.test]
        weights = {run.key: final_place(run, folder) for run in waiting}
        if waiting:
            _count_opening(log, [run.key for run in waiting])
        for run in waiting:
            with local_copy(weights[run.key]) as checkpoint:
                metrics = score_test(run, Path(checkpoint or ""))
            log.append("test_scored", key=run.key, metrics=plain_metrics(metrics))
            log.sync()
            on_run(run)
        log.sync(mirror=True)
        return SweepHistory.of(log.read()).openings


def open_for_one(folder: Path, key: str, checkpoint: Path) -> int:
    """Opens the test set for one run, to be judged by protocols of the user's choice, and returns how often it has been
    opened. The log holds that, not the scores: those of the run's own protocols are `open_test_set`'s.

    Raises Refused where `open_test_set` does, for a run that is not complete, and for weights of an earlier epoch.
    """
    with FolderLock(folder):
        log, history = _opened_log(folder)
        _check_may_open(history, folder)
        run = history.run(key)
        last = f"epoch-{run.total_epochs:04d}"
        if run.state != "complete" or checkpoint.name != last:
            raise Refused(f"the test set is opened for last weights alone: {checkpoint.name} of {key} is not {last}")
        _count_opening(log, [key])
        return SweepHistory.of(log.read()).openings


def _opened_log(folder: Path) -> tuple[EventLog, SweepHistory]:
    """The log of a folder, together with its copy on the storage that the weights of its runs lie on, and what it says:
    a new head knows what the old one had opened. Raises Refused where that storage cannot be read."""
    path = folder / LOG_NAME
    log = EventLog(RealDisk(), path)
    history = SweepHistory.of(log.open())
    places = {above(run.checkpoint, 4) for run in history.runs if run.checkpoint}
    for place in sorted(places - {str(folder)}):
        # Where a lock lies, drivers work: that is the folder which this one was copied from.
        if last_part(place) != folder.name or (not is_uri(place) and (Path(place) / FolderLock.NAME).exists()):
            continue
        mirror = mirror_at(place)
        try:
            if mirror.read(LOG_NAME) is not None:
                log = EventLog(RealDisk(), path, mirror)
                return log, SweepHistory.of(log.open())
        except OSError as error:
            raise Refused(f"the copy of the log on {mirror} cannot be read: {error}") from error
    return log, history


def _count_opening(log: EventLog, keys: list[str]) -> None:
    """Write down that the test set is opened for these runs, in the copy of the log too, before any of it is read."""
    log.append("test_opened", runs=keys)
    log.sync(mirror=True)
    if log.mirror_error is not None:
        raise Refused(f"an opening of the test set cannot be written to the copy of the log: {log.mirror_error}")


def _check_may_open(history: SweepHistory, folder: Path) -> None:
    if any("configuration" not in run.values for run in history.runs):
        raise Refused("the runs of a search chose the winner; the test set is opened for repetitions alone")
    if not history.finished:
        raise Refused(f"{folder.name} is not finished; the test set stays closed until it is")


def final_checkpoint(run: RunRecord, folder: Path) -> Path:
    """The folder with the checkpoint of the last epoch of a run; one on object storage is fetched, and stays until this
    process ends. Raises as `final_place`, and DamagedCheckpoint for one that was fetched and is not whole."""
    try:
        return kept_copy(final_place(run, folder))
    except OSError as error:
        raise Refused(f"the weights of run {run.key} cannot be fetched: {error}") from error


def newest_of(run: RunRecord) -> Path:
    """The folder with the newest sound checkpoint that is left of a run that kept any; fetched as `final_checkpoint`
    does. Raises Refused where there is none."""
    kept = above(run.checkpoint or "", 2)
    try:
        newest = newest_place(kept)
        if newest is not None:
            return kept_copy(newest)
    except OSError as error:
        raise Refused(f"the weights of run {run.key} cannot be fetched: {error}") from error
    raise Refused(f"run {run.key} has no sound checkpoint left in {shown(kept)}")


def final_place(run: RunRecord, folder: Path) -> str:
    """Where the sound checkpoint of the last epoch of a run lies, a folder or a URI: where the worker put it, or in
    `folder` if that was moved. Raises Refused where there is none, and where the storage does not answer."""
    places = [str(folder / "runs" / run.key)]
    if run.checkpoint:
        places.insert(0, above(run.checkpoint, 2))
    try:
        found = [checkpoint for place in places if (checkpoint := newest_place(place)) is not None]
    except OSError as error:
        raise Refused(f"{shown(places[0])} cannot be read: {error}") from error
    if not found:
        raise Refused(f"run {run.key} has no sound checkpoint left in {shown(places[0])}, so it cannot be tested")
    last = f"epoch-{run.total_epochs:04d}"
    final = [checkpoint for checkpoint in found if last_part(checkpoint) == last]
    if not final:
        newest = last_part(found[0])
        raise Refused(f"the newest sound checkpoint of run {run.key} is {newest}, not {last} with its last weights")
    return final[0]


def score_test(run: RunRecord, checkpoint: Path) -> dict[str, float]:
    """The test scores of one run from the checkpoint of its last epoch."""
    from raycon.datasets import load_tables
    from raycon.evaluation import score_encoder
    from raycon.space import trial_from
    from raycon.state import State

    trial = trial_from(run.trial)
    state = State(trial)
    state.load(checkpoint)
    tables = load_tables(trial.data, split_seed=trial.seeds.split, splits=("train", "test"))
    return score_encoder(state.step, trial, tables, "test")
