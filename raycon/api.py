"""What people call: load, train, sweep, repeat, report. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raycon.checkpoint_storage import usable
from raycon.config import Sweep, Trial
from raycon.disk import RealDisk
from raycon.driver import Driver, Opener, Origin, Sampler, installed_versions
from raycon.errors import InvalidFile, RayconError, Refused, SomeRunsFailed, nearest
from raycon.events import EventLog
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep, read_sweep_file
from raycon.lock import FolderLock
from raycon.mirror import mirror_at
from raycon.object_storage import check_reachable, checked, join, last_part
from raycon.own_code import NO_CODE, OwnCode, activate, keep_code, own_code, refuse_while_loading
from raycon.repeats import Difference, Listed, ListSampler, check_fresh, check_score, paired_differences, score_of
from raycon.runs import Progress, Scored
from raycon.space import Space, name_of, trial_to_plain
from raycon.space import load as load_space
from raycon.train_folder import claimed, claimed_place, default_folder

if TYPE_CHECKING:
    import pandas

    from raycon.reporting.finalists import Picture

logger = logging.getLogger("raycon")

__all__ = [
    "RepeatResult",
    "Settings",
    "SweepResult",
    "Winner",
    "find_sweep",
    "load",
    "repeat",
    "report",
    "sweep",
    "train",
]

SHIPPED_LOOP = "raycon.training:open_run"

WINNER = "winner"
"""What a repetition calls the configuration that the rivals are compared with."""


class Observer(Protocol):
    """Whoever watches a sweep, such as `raycon.progress.SweepProgress`."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """One thing that happened to one run."""


@dataclass(frozen=True)
class Settings:
    """Where and on what a sweep runs; none of it changes a result.

    out: the driver's folder (RAYCON_OUT, else ./raycon_out). storage: where weights go, a folder or an s3:// or gs://
    URI that all nodes reach (RAYCON_STORAGE, else the sweep's folder in `out`). slots: runs at a time (as many as fit).
    resources: {'cpu', 'gpu'} of a worker. tracking: an MLflow URI (MLFLOW_TRACKING_URI, else a SQLite file in `out`),
    or 'off'. require_tracking: fail without it.
    wait_minutes: how long to wait for room in a cluster that is full or has yet to grow, and for a failing storage.
    here: in this process, one run after another, without Ray; for debuggers, and for runs of less than a second.
    """

    out: Path | None = None
    storage: str | None = None
    slots: int | None = None
    resources: Mapping[str, float] | None = None
    tracking: str | None = None
    require_tracking: bool = False
    here: bool = False
    wait_minutes: float = 30.0

    @property
    def folder(self) -> Path:
        """The output folder, absolute."""
        return Path(self.out or os.environ.get("RAYCON_OUT") or "raycon_out").resolve()

    @property
    def shared(self) -> str | None:
        """The storage, an absolute path or a URI, where one is named. Raises InvalidFile for another kind of URI."""
        named = self.storage or os.environ.get("RAYCON_STORAGE")
        return checked(named) if named else None


@dataclass(frozen=True)
class Winner:
    """The best run of a sweep, and where it comes from; `sweep` is the name of the sweep's folder."""

    space: Space
    run: RunRecord
    settings: Settings
    sweep: str

    @property
    def values(self) -> dict[str, Any]:
        """The chosen values by dotted path."""
        return self.run.values

    @property
    def metrics(self) -> dict[str, float]:
        """Its final metrics, on the seeds that chose it: too good by construction."""
        return self.run.metrics


@dataclass(frozen=True)
class SweepResult:
    """A sweep as its log tells it."""

    space: Space
    folder: Path
    settings: Settings

    @property
    def history(self) -> SweepHistory:
        """All runs, as records."""
        return read_sweep(self.folder)

    def best(self) -> Winner:
        """The run with the best validation score of the file. Raises RayconError if no run is complete."""
        run = self.history.best()
        if run is None:
            raise RayconError(f"no run of {self.folder.name} is complete")
        return Winner(self.space, run, self.settings, self.folder.name)

    def front(self) -> list[Winner]:
        """The Pareto set of a sweep with several objectives: full-budget runs only."""
        return [Winner(self.space, run, self.settings, self.folder.name) for run in self.history.pareto_front()]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: state, seeds, values, final metrics."""
        import pandas

        from raycon.reporting.tables import run_rows

        return pandas.DataFrame(run_rows(self.history))


@dataclass(frozen=True)
class RepeatResult:
    """A repetition as its log tells it. `same` names the rivals that the winner turned out to be itself."""

    folder: Path
    score: str
    same: tuple[str, ...] = ()

    @property
    def history(self) -> SweepHistory:
        """All runs, as records; `values` hold the configuration's name and the seed."""
        return read_sweep(self.folder)

    def differences(self) -> list[Difference]:
        """The first configuration less each other one, paired by seed."""
        return paired_differences(self.history, self.score)


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    terms: Sequence[Callable[..., Any]] = (),
    code: OwnCode | Sequence[str | Path] = (),
) -> Space:
    """The space in a file, with `path=value` overrides put in, checked at its corners.

    terms: functions of your own that the file names as terms, written as those of `raycon.losses` are; their text is
    hashed into the space's identity and goes along with every run. code: files of your own (see `raycon.own_code`).
    Raises InvalidFile: one line, with file, line, dotted field, reason and often the nearest name.
    """
    refuse_while_loading("raycon.load")
    given = own_code(terms, files=code)
    return _using(load_space(path, overrides, code=given), given)


def _using(space: Space, given: OwnCode) -> Space:
    """The space, if it uses all code that it was given: what is named nowhere is a slip."""
    for text in given.texts:
        if text not in space.code.texts:
            names = ", ".join(OwnCode((text,)).names)
            raise InvalidFile(
                f"{space.name} names none of {names} in objective, transforms or networks", field="own code"
            )
    return space


def _with_own(space: Space | str | Path, terms: Sequence[Callable[..., Any]], loop: Callable[..., Any] | None) -> Space:
    """A space, or that of a file, with functions of the caller's own."""
    given = own_code(terms, loop)
    return _using(space.with_code(given) if isinstance(space, Space) else load_space(space, code=given), given)


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

        events = train_own(code, trial, folder, resume, _device(resources))
    else:
        from raycon.training import train_here

        events = train_here(trial, folder, resume, _device(resources))
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
        assignment | _shipped(code),
        workers,
        folder=Path(folder),
        factory=_factory(code).get("factory", SHIPPED_LOOP),
        resources=wanted,
        on_report=tell,
    )
    return metrics


def _shipped(code: OwnCode) -> dict[str, Any]:
    """What goes along with every assignment."""
    return {"code": list(code.texts)} if code else {}


def _factory(code: OwnCode) -> dict[str, str]:
    """What opens the runs, where it is not the shipped loop."""
    return {"factory": "raycon.own_loop:open_run"} if code.loop is not None else {}


def first_trial(space: Space) -> Trial:
    """The first configuration of `sweep.first`, else the middle of the space."""
    return space.trial(space.complete(dict(space.first[0]) if space.first else {}))


def _device(resources: Mapping[str, float] | None) -> str:
    """The GPU if there is one and it is not declined. Raises InvalidFile where one is asked for and none is there."""
    import torch

    asked = None if resources is None else resources.get("gpu", 0)
    if asked and not torch.cuda.is_available():
        raise InvalidFile(f"0 GPU here, asked {asked:g}", field="resources")
    return "cpu" if asked == 0 or not torch.cuda.is_available() else "cuda:0"


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
    space = _with_own(space, terms, train)
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

    folder = _own_folder(space, settings) if fork else settings.folder / space.name
    _run(folder.name, space.identity(), space, OptunaSampler(space, wanted), wanted, settings, observer, space.code)
    return SweepResult(space, folder, settings)


def _own_folder(space: Space, settings: Settings) -> Path:
    """The folder of this very search: that of its name, or, where another search has that one, its fork."""
    plain = settings.folder / space.name
    stored = read_sweep_file(plain, RealDisk())
    if stored is None or stored.get("identity") == space.identity():
        return plain
    return settings.folder / f"{space.name[:50]}-{space.identity()[:8]}"


def found_sweep(space: Space, settings: Settings = Settings()) -> SweepResult:
    """The sweep of a space that has been run already. Raises InvalidFile if there is none, Refused if the folder of its
    name holds another search and no fork is there."""
    folder = _own_folder(space, settings)
    if not (folder / LOG_NAME).is_file():
        find_sweep(space.name, settings)
        raise Refused(f"{settings.folder / space.name} holds another search; the file has changed since it was run")
    return SweepResult(space, folder, settings)


def repeat(
    winner: Winner,
    *,
    seeds: Sequence[int] | None = None,
    against: Mapping[str, Mapping[str, Any]] | None = None,
    score: str | None = None,
    observer: Observer | None = None,
    reuse: bool = True,
) -> RepeatResult:
    """Runs the winner and its rivals on fresh seeds, each of which seeds split, weights and order alike for all.

    seeds, against, score: by default those of the file's `repeat`. A rival is given as in `sweep.first`. reuse: take
    over finished runs of other repetitions and studies (see `raycon.reuse`). Raises Refused if a seed took part in
    choosing the winner.
    """
    refuse_while_loading("raycon.repeat")
    space, settings = winner.space, winner.settings
    chosen = tuple(space.repeat.seeds if seeds is None else seeds)
    rivals = space.repeat.against if against is None else against
    if WINNER in rivals:
        raise InvalidFile("is the name of what the rivals are compared with", field=f"repeat.against.{WINNER}")
    configurations = {WINNER: space.trial(winner.values)}
    others = {name: space.trial(space.complete(dict(values))) for name, values in rivals.items()}
    configurations |= {name: trial for name, trial in others.items() if trial != configurations[WINNER]}
    same = tuple(name for name in others if name not in configurations)
    check_fresh(chosen, list(configurations.values()))
    wanted_score = score or score_of(space.repeat, space.sweep)
    check_score(wanted_score, list(configurations.values()))
    listed = Listed(winner.sweep, configurations, chosen, wanted_score, tuple(space.code.hashes))
    if space.code.loop is None:
        space.located(lambda: check_data(configurations[WINNER]))
    run_listed(listed, space.sweep, settings, observer, space.code, reuse=reuse)
    return RepeatResult(settings.folder / listed.name, wanted_score, same)


def run_listed(
    listed: Listed, like: Sweep, settings: Settings, observer: Observer | None, code: OwnCode, *, reuse: bool = False
) -> None:
    """Runs what is left of a list of runs, with the workers and retries of the sweep `like`. reuse: runs of other lists
    in the output folder that are finished already are taken over (see `raycon.reuse`)."""
    sampler, wanted = ListSampler(listed), listed.sweep(like)
    _run(listed.name, listed.identity(), listed, sampler, wanted, settings, observer, code, reuse=reuse)


def reusable_runs(listed: Listed, settings: Settings, code: OwnCode) -> dict[int, Origin]:
    """The runs of a list, by number, that `run_listed` would take over. The data are read, for their content hash,
    where there is something to compare."""
    from raycon.reuse import find_origins

    return find_origins(listed, settings.folder, lambda: _versions(listed, code))


def _versions(space: Any, code: OwnCode) -> dict[str, str]:
    """Of packages and data; a loop of the user's own reads data that nobody else knows."""
    from raycon.datasets.card import content_versions

    trials = space.configurations.values() if isinstance(space, Listed) else [first_trial(space)]
    return installed_versions() | (content_versions(trial.data for trial in trials) if code.loop is None else {})


def check_data(trial: Trial) -> None:
    """Reads the data once, so that what is missing or too small is said before a cluster is started."""
    from raycon.datasets import load_tables

    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    if trial.training.batch_size > len(tables["train"]):
        reason = f"{trial.training.batch_size} is more than the {len(tables['train'])} training images"
        raise InvalidFile(reason, field="training.batch_size")


def _run(
    name: str,
    identity: str,
    space: Any,
    sampler: Sampler,
    wanted: Sweep,
    settings: Settings,
    observer: Observer | None,
    code: OwnCode,
    *,
    reuse: bool = False,
) -> None:
    """The common way of a sweep and a repetition: lock, log, driver, cluster, tracker."""
    folder = settings.folder / name
    storage = join(settings.shared, name) if settings.shared else str(folder)
    check_reachable(storage)
    with FolderLock(folder):
        log = EventLog(RealDisk(), folder / LOG_NAME, mirror_at(storage) if storage != str(folder) else None)
        driver = Driver(
            wanted,
            name,
            identity,
            space,
            sampler,
            log,
            storage,
            usable=usable,
            shipped=_shipped(code),
        )
        versions = _versions(space, code)
        driver.open(replace(Opener.here(), versions=versions))
        keep_code(code, {folder, storage})
        if reuse and not driver.finished:
            from raycon.reuse import find_origins

            driver.take_over(find_origins(space, settings.folder, lambda: versions))
        if observer is not None:
            observer.on_event(_opened(driver))
        try:
            with _tracker(folder, settings):
                try:
                    _execute(driver, wanted, settings, observer, folder, code)
                finally:
                    # Before the tracker ends, so that it delivers this too.
                    driver.close()
        finally:
            driver.close()
            _warn_of_mirror(log)
    failed = driver.history.counts().get("failed", 0)
    if failed:
        raise SomeRunsFailed(f"{failed} of {len(driver.history.runs)} runs failed; `raycon runs show {name}` says why")


def _execute(
    driver: Driver, wanted: Sweep, settings: Settings, observer: Observer | None, folder: Path, code: OwnCode
) -> None:
    wait: dict[str, Any] = {"wait_minutes": settings.wait_minutes, **_factory(code)}
    if settings.here:
        from raycon.cluster.here import run_here

        device = _device(settings.resources)
        run_here(driver, wanted, device=device, observer=observer, folder=folder, **wait)
        return
    from raycon.cluster.search import run_sweep

    resources = dict(settings.resources) if settings.resources else None
    slots = settings.slots
    run_sweep(driver, wanted, slots=slots, resources=resources, observer=observer, folder=folder, **wait)


def _warn_of_mirror(log: EventLog) -> None:
    if log.mirror_error is not None:
        logger.warning("the copy of the log is behind; the same command brings it up to date: %s", log.mirror_error)


def _opened(driver: Driver) -> dict[str, Any]:
    """What an observer needs to know of earlier sessions."""
    ended = [run for run in driver.history.runs if run.finished]
    told = [{"number": run.number, "state": run.state, "metrics": run.metrics} for run in ended]
    return {"kind": "opened", "total": driver.sweep.trials, "ended": told}


def _tracker(folder: Path, settings: Settings) -> AbstractContextManager[None]:
    if settings.tracking == "off":
        return nullcontext()
    return _follow(folder, settings)


@contextmanager
def _follow(folder: Path, settings: Settings) -> Iterator[None]:
    from raycon.reporting.figures import run_figure, sweep_figure
    from raycon.tracking import Figures, Tracker

    figures = Figures(run_figure, sweep_figure)
    tracker = Tracker(folder, settings.tracking, settings.folder, figures, settings.require_tracking)
    tracker.start()
    try:
        yield
    finally:
        tracker.close()


def find_sweep(name: str, settings: Settings = Settings()) -> Path:
    """The folder of a sweep by its name, or by the path of its folder or file. Raises InvalidFile with a near name."""
    for candidate in (settings.folder / name, Path(name)):
        if (candidate / LOG_NAME).is_file():
            return candidate.resolve()
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        return find_sweep(name_of(name), settings)
    known = sorted(path.parent.name for path in settings.folder.glob(f"*/{LOG_NAME}"))
    raise InvalidFile(
        f"no sweep {name!r} in {settings.folder}{nearest(name, known)}; there: {', '.join(known) or 'none'}"
    )


def repeats_of(name: str, settings: Settings = Settings()) -> list[Path]:
    """The folders of the repetitions of a sweep, by name."""
    found = []
    for path in sorted(settings.folder.glob(f"*-repeat-*/{LOG_NAME}")):
        stored = read_sweep_file(path.parent, RealDisk()) or {}
        if stored.get("canonical", {}).get("repeat_of") == name:
            found.append(path.parent)
    return found


def report(
    name: str,
    *,
    settings: Settings = Settings(),
    test: bool = False,
    embedding: str = "pca",
    on_run: Callable[[RunRecord], None] = lambda run: None,
) -> Path:
    """Writes the report of a sweep and its repetitions, or of an ablation study, and returns the page's path.

    embedding: `pca`, `tsne` or `umap` for the pictures of a sweep's finalists, which go to MLflow too (see
    `raycon.reporting.finalists`); `none` leaves out those that need weights.
    test: opens the test set for the finished repetitions, or the study, first, which is counted in their logs and
    delivered to MLflow where a repetition is there already. Raises Refused if there is no repetition to test.
    """
    from raycon.reporting.finalists import finalist_pictures
    from raycon.reporting.report import write_report
    from raycon.reporting.study_report import write_study_report

    folder = find_sweep(name, settings)
    if "ablation" in read_sweep(folder).canonical:
        if test:
            from raycon.sealed import open_test_set

            open_test_set(folder, on_run)
            _deliver([folder], replace(settings, out=folder.parent))
        return write_study_report(folder)
    repeats = repeats_of(read_sweep(folder).name, replace(settings, out=folder.parent))
    if test:
        from raycon.sealed import open_test_set

        if not repeats:
            raise Refused(f"{folder.name} has no repetition; `raycon repeat` makes one, on seeds that chose nothing")
        for repetition in repeats:
            open_test_set(repetition, on_run)
        _deliver(repeats, settings)
    pictures = finalist_pictures(folder, repeats, embedding=embedding)
    _attach(pictures, settings)
    return write_report(folder, repeats, [(picture.title, picture.path) for picture in pictures])


def _attach(pictures: Sequence[Picture], settings: Settings) -> None:
    """Puts pictures beside their runs in MLflow, where these are there. A failure is one warning."""
    from raycon.tracking.artifacts import attach

    for folder in dict.fromkeys(picture.folder for picture in pictures if settings.tracking != "off"):
        files: dict[str, dict[str, bytes]] = {}
        for picture in (found for found in pictures if found.folder == folder):
            files.setdefault(picture.key, {})[picture.name] = picture.path.read_bytes()
        try:
            attach(folder, files, settings.tracking)
        except RayconError as error:
            logger.warning("the pictures are in the report alone: %s", error)
            return


def _deliver(folders: Sequence[Path], settings: Settings) -> None:
    """Sends what was logged after the trackers of these folders had closed. A failure is one warning.

    A folder of which nothing was ever delivered ran without a tracker, and stays without one unless one is named.
    """
    from raycon.reporting.figures import run_figure, sweep_figure
    from raycon.tracking import Figures, sync
    from raycon.tracking.server import experiment_of

    followed = [] if settings.tracking == "off" else [f for f in folders if settings.tracking or experiment_of(f)]
    for number, folder in enumerate(followed):
        try:
            sync(folder, settings.tracking, folder.parent, Figures(run_figure, sweep_figure), again=False)
        except RayconError as error:
            hint = " && ".join(f"raycon sync {left.name}" for left in followed[number:])
            logger.warning("%s; the test scores are in the log, `%s` delivers them", error, hint)
            return
