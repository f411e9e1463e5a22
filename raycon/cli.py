"""The command line. Results go to stdout, everything else to stderr; exit codes are those of `raycon.errors`.

Heavy modules are imported inside the commands: `raycon --help` and `raycon runs ls` answer without torch, Ray, Optuna
and MLflow.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raycon.compare_cli import compare
from raycon.data_cli import data_app
from raycon.doctor_cli import doctor
from raycon.errors import InvalidFile, RayconError
from raycon.eval_cli import evaluate
from raycon.replication_cli import bundle, replicate, verify

if TYPE_CHECKING:
    from raycon.ablation.study import Study
    from raycon.history import SweepHistory
    from raycon.progress import SweepProgress
    from raycon.results import RepeatResult, SweepResult, Winner
    from raycon.settings import Settings
    from raycon.space import Space

app = typer.Typer(
    name="raycon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which contrastive objective gives features that transfer and stay robust, and is the difference real?",
)
runs_app = typer.Typer(no_args_is_help=True, help="What the event logs in the output folder say.")
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")

File = Annotated[str, typer.Argument(metavar="FILE", help="A search space, such as search_spaces/thanos.yaml.")]
Name = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, folder or file.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Replace a value or a hole of the file.")
]
Out = Annotated[Path | None, typer.Option("--out", help="The output folder.  [default: $RAYCON_OUT or ./raycon_out]")]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Runs at a time.  [default: as many as fit]")]
Storage = Annotated[str | None, typer.Option(help="Folder or URI for weights and the log's copy; all nodes reach it.")]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow URI, or 'off'.  [default: $MLFLOW_TRACKING_URI or a file in --out]")
]
Require = Annotated[bool, typer.Option("--require-tracking", help="Fail at once if MLflow is not reached.")]
Code = Annotated[
    list[Path] | None,
    typer.Option("--code", metavar="FILE.py", help="Your own terms, transforms, networks or loop: Python that is run."),
]
Reuse = Annotated[
    bool, typer.Option("--reuse/--no-reuse", help="Take over runs of other repetitions and studies that are the same.")
]
Renamed = Annotated[str | None, typer.Option("--name", help="A name in place of the file's: --set name=NAME.")]
Gpus = Annotated[
    float | None,
    typer.Option(min=0, help="GPUs of each worker; 0.25 puts four runs on one.  [default: 1 where there are any]"),
]
Wait = Annotated[float, typer.Option(min=0, metavar="MINUTES", help="How long to wait for room or storage.")]

INTERRUPTED = 130
"""The exit code after SIGINT; Typer gives it back instead of the KeyboardInterrupt that it has caught."""
INTERRUPTION = "raycon: interrupted; what was done is kept, the same command goes on with it"


@app.command()
def demo(out: Out = None, quiet: Quiet = False) -> None:
    """Six runs on scikit-learn's digits, without network, in about a minute: the way of a sweep from end to end."""
    from raycon.demo import demo_space

    result, settings = _sweep(demo_space(), _settings(out), None, quiet, False)
    _conclude(result, settings)


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods: what each is about, its papers, terms and search spaces."""
    from raycon.methods import METHODS

    for method in METHODS.values():
        if as_json:
            _print(json.dumps(asdict(method)))
        else:
            _print(f"{method.name}: {method.idea}", f"    {method.paper}", f"    {', '.join(method.files)}")


@app.command()
def init(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method's name, as `raycon methods` lists it.")],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="The data set to write the file for.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="[default: METHOD_NAME.yaml]")] = None,
) -> None:
    """Write a commented search space to start from: the method's own, for a data set of your choice."""
    from raycon.starting_file import write_starting_file

    path = write_starting_file(method, data, to)
    _print(f"{path}: `raycon explain {path}` says what it means, `raycon sweep {path}` runs it")


@app.command()
def explain(file: File, overrides: Set = None, code: Code = None) -> None:
    """Print what a file means: the plan of its first configuration, its knobs, and what it costs. Reads no data."""
    from raycon.space import first_trial

    space = _load(file, overrides, code)
    # Only now: a file that is wrong in itself is refused before torch is loaded.
    from raycon.objective import explain as explain_trial

    _print(*explain_trial(first_trial(space)), *_own_lines(space), "")
    for path, hole in space.holes.items():
        _print(f"knob     {path}: {json.dumps(hole.plain())}")
    _print(f"corners  {len(space.corners())} configurations at the edges of the space, all valid")


@app.command()
def plan(
    file: File,
    overrides: Set = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train a few random configurations on two seeds each.")
    ] = False,
    configurations: Annotated[int, typer.Option(min=3, help="How many, for --probe.")] = 8,
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each, for --probe.")] = 2,
    slots: Slots = None,
    code: Code = None,
) -> None:
    """Print runs, seeds and time of a sweep; with --probe also whether a search can pay here."""
    from raycon.planning import make_plan
    from raycon.planning import probe as run_probe

    space = _load(file, overrides, code)
    found = None
    if probe:
        told = lambda done, of, score: print(f"probe {done}/{of}: {score:.4f}", file=sys.stderr)  # noqa: E731
        found = space.located(lambda: run_probe(space, configurations, seeds, told))
    wanted = make_plan(space)
    width = slots or min(max((os.cpu_count() or 1) // wanted.workers, 1), space.sweep.lag + 1)
    _print(*wanted.lines(width, found.seconds if found else None), *(found.lines() if found else []))


@app.command()
def train(
    file: File,
    overrides: Set = None,
    workers: Annotated[int, typer.Option(min=1, help="Several train one model together, with Ray Train.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Where checkpoints go, and an earlier run goes on.  [default: below --out]")
    ] = None,
    out: Out = None,
    gpus: Gpus = None,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one configuration: the first of the file, changed by --set. Prints its final scores."""
    from raycon.one_trial import train as run_train
    from raycon.runs import Progress, Scored
    from raycon.space import first_trial
    from raycon.train_folder import default_folder

    def tell(event: Progress | Scored) -> None:
        if not quiet:
            place = f"step {event.step}/{event.steps}" if isinstance(event, Progress) else "done"
            shown = {name: round(value, 4) for name, value in event.metrics.items() if "speed" not in name}
            print(f"epoch {event.epoch} {place}: {shown}", file=sys.stderr)

    resources = None if gpus is None else {"gpu": gpus}
    space = _load(file, overrides, code)
    trial = first_trial(space)
    settings = _settings(out)
    below = (settings.shared if workers > 1 else None) or settings.folder
    place = folder or default_folder(below, trial, space.code)
    # What the data say about a field of the file is told with its file and line, as what the file itself says is.
    metrics = space.located(
        lambda: run_train(trial, code=space.code, folder=place, workers=workers, resources=resources, on_event=tell)
    )
    if not quiet:
        print(f"checkpoints: {place}", file=sys.stderr)
    _result(metrics, as_json)


@app.command()
def sweep(
    file: File,
    overrides: Set = None,
    name: Renamed = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Runs in all; more than before extends a sweep.")] = None,
    out: Out = None,
    slots: Slots = None,
    gpus: Gpus = None,
    wait: Wait = 30,
    storage: Storage = None,
    tracking: Tracking = None,
    require_tracking: Require = False,
    fork: Annotated[
        bool, typer.Option("--fork", help="If the name is taken by another search, begin beside it.")
    ] = False,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search a space with Ray Tune and Optuna. The same command continues a sweep that was interrupted."""
    settings = _settings(out, slots, gpus, storage, tracking, require_tracking, wait)
    space = _load_begun(file, _with_name(overrides, name), code, settings)
    result, settings = _sweep(space, settings, trials, quiet, as_json, fork)
    _conclude(result, settings, as_json)


@app.command()
def repeat(
    file: File,
    overrides: Set = None,
    seeds: Annotated[
        str | None, typer.Option(help="Fresh seeds, such as 1,2,3 or 10-14.  [default: the file's]")
    ] = None,
    name: Renamed = None,
    run: Annotated[int | None, typer.Option(min=0, help="The run to repeat.  [default: the best]")] = None,
    score: Annotated[str | None, typer.Option(help="The metric to compare.  [default: the file's]")] = None,
    reuse: Reuse = True,
    out: Out = None,
    slots: Slots = None,
    gpus: Gpus = None,
    wait: Wait = 30,
    storage: Storage = None,
    tracking: Tracking = None,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep's winner and its rivals on fresh seeds, and print the paired differences with their intervals."""
    from raycon.repeating import repeat as run_repeat
    from raycon.repeats import score_of
    from raycon.sweep_folders import found_sweep

    settings = _settings(out, slots, gpus, storage, tracking, wait=wait)
    space = _load_begun(file, _with_name(overrides, name), code, settings)
    sweep_result = found_sweep(space, settings)
    winner = _chosen(sweep_result, run)
    chosen = _numbers(seeds) if seeds else list(space.repeat.seeds)
    total = len(chosen) * (1 + len(space.repeat.against))
    with _progress(
        total, winner.space, settings, quiet, as_json, [score or score_of(space.repeat, space.sweep)]
    ) as observer:
        result = run_repeat(winner, seeds=chosen, score=score, observer=observer, reuse=reuse)
    _repeated(result, as_json)


@app.command()
def ablate(
    file: File,
    overrides: Set = None,
    show_plan: Annotated[bool, typer.Option("--plan", help="Print arms, cost and power, and run nothing.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="Fresh seeds, such as 1,2,3 or 10-14.  [default: the file's]")
    ] = None,
    reuse: Reuse = True,
    out: Out = None,
    slots: Slots = None,
    gpus: Gpus = None,
    wait: Wait = 30,
    storage: Storage = None,
    tracking: Tracking = None,
    code: Code = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the arms of a file's ablation study on fresh paired seeds, judge its claims, and write its report."""
    from raycon.studies import plan_study, run_count, run_study, study_plan

    settings = _settings(out, slots, gpus, storage, tracking, wait=wait)
    space = _load(file, overrides, code)
    study, _ = plan_study(space, {"seeds": _numbers(seeds)} if seeds else {}, settings)
    if show_plan:
        _print(*study_plan(study), *(_reused_lines(study, settings, space) if reuse else []))
        return
    with _progress(run_count(study), space, settings, quiet, as_json, [study.score]) as observer:
        result = run_study(study, space, settings, observer, reuse=reuse)
    for found in result.answers().answers:
        row = {"contrast": found.question.label, "effect": found.interval.mean, "low": found.interval.low}
        row |= {"high": found.interval.high, "n": found.interval.n, "p": found.p, "holm_p": found.adjusted_p}
        _print(_json(row | {"verdict": found.verdict}) if as_json else found.line)
    page = result.report()
    if not as_json:
        _print(f"score: {result.study.score}; runs: {result.folder}", f"report: {page}")


@app.command()
def judge(
    runs: Annotated[Path, typer.Argument(metavar="RUNS.csv", help="A run a line; exports of MLflow and W&B will do.")],
    method: Annotated[str | None, typer.Option(help="The column of methods.  [default: found by name]")] = None,
    seed: Annotated[str | None, typer.Option(help="The column of seeds.  [default: found by name]")] = None,
    score: Annotated[list[str] | None, typer.Option(help="A column of scores.  [default: all that vary]")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with.  [default: the first]")
    ] = None,
    lower: Annotated[list[str] | None, typer.Option(help="A score: less is better.  [default: by its name]")] = None,
    higher: Annotated[list[str] | None, typer.Option(help="A score: more is better.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Also write the table as LaTeX.")] = None,
    as_json: Json = False,
) -> None:
    """Judge a table of runs from anywhere: paired intervals, Holm, power, and what a reviewer would ask."""
    from raycon.judging import comparison_rows, judge_runs, read_runs

    table = read_runs(runs, method=method, seed=seed, scores=score or ())
    judged = judge_runs(table, baseline=baseline, lower=lower or (), higher=higher or ())
    rows = comparison_rows(judged)
    if as_json:
        _print(*(_json(row) for row in rows), *(_json({"warning": text}) for text in judged.warnings))
    else:
        from raycon.reporting.tables import to_markdown

        _print(to_markdown(rows).rstrip(), "", judged.caption, "")
        _print(*(f"warning: {text}" for text in judged.warnings))
    if latex is not None:
        from raycon.reporting.latex import booktabs

        latex.write_text(booktabs(rows, judged.caption, f"tab:{runs.stem}"), encoding="utf-8")


@app.command()
def report(
    name: Name,
    out: Out = None,
    test: Annotated[
        bool, typer.Option("--test", help="Open the test set for its repetitions; that is counted.")
    ] = False,
    embedding: Annotated[
        str, typer.Option(help="Pictures of finalists: pca, tsne or umap; none: no pictures that need weights.")
    ] = "pca",
    tracking: Tracking = None,
) -> None:
    """Write the report of a sweep and its repetitions: a page, CSV files and pictures."""
    from raycon.reports import report as write

    told = lambda run: print(f"tested {run.key}", file=sys.stderr)  # noqa: E731
    page = write(name, settings=_settings(out, tracking=tracking), test=test, embedding=embedding, on_run=told)
    _print(page.read_text().rstrip(), "", f"report: {page}")


@runs_app.command("ls")
def runs_ls(out: Out = None, as_json: Json = False) -> None:
    """The sweeps in the output folder."""
    from raycon.history import LOG_NAME, read_sweep
    from raycon.settings import Settings
    from raycon.submissions import without_sweep

    folder = Settings(out=out).folder
    unreadable = 0
    for path in sorted(folder.glob(f"*/{LOG_NAME}")):
        try:
            history = read_sweep(path.parent)
        except RayconError as error:
            unreadable += 1
            told = {"name": path.parent.name, "error": str(error)}
            _print(json.dumps(told) if as_json else f"{path.parent.name:<40} unreadable: {error}")
            continue
        counts = ", ".join(f"{count} {state}" for state, count in sorted(history.counts().items()))
        row = {"name": history.name or path.parent.name, "wanted": history.trials, "runs": history.counts()}
        _print(json.dumps(row) if as_json else f"{row['name']:<40} {len(history.runs)}/{history.trials} runs: {counts}")
    _tell(*(one.line for one in without_sweep(folder)))
    if unreadable:
        raise typer.Exit(1)


@runs_app.command("show")
def runs_show(name: Name, out: Out = None, as_json: Json = False) -> None:
    """The runs of a sweep, best first."""
    from raycon.history import read_sweep
    from raycon.reporting.tables import objective_rows, to_markdown
    from raycon.settings import Settings
    from raycon.submissions import read_submissions
    from raycon.sweep_folders import find_sweep

    history = read_sweep(folder := find_sweep(name, Settings(out=out)))
    rows = objective_rows(history)
    _print(*(_json(row) for row in rows) if as_json else [to_markdown(rows).rstrip()])
    _tell(*(one.line for one in read_submissions(folder.parent, folder.name)))
    for run in history.runs:
        if run.state in ("failed", "diverged", "out_of_memory"):
            print(f"run {run.number}: {run.state}: {run.reason}", file=sys.stderr)


@runs_app.command("best")
def runs_best(name: Name, out: Out = None, as_json: Json = False) -> None:
    """The best configuration of a sweep; the Pareto front of one with several objectives."""
    from raycon.history import read_sweep
    from raycon.settings import Settings
    from raycon.sweep_folders import find_sweep

    history = read_sweep(find_sweep(name, Settings(out=out)))
    found = history.pareto_front() if len(history.maximize) + len(history.minimize) > 1 else [history.best()]
    for run in found:
        if run is None:
            raise RayconError(f"no run of {history.name} is complete")
        _result({"run": run.number, "key": run.key, **run.values, **run.metrics}, as_json)


@app.command()
def ui(
    out: Out = None,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 5000,
    host: Annotated[str, typer.Option(help="Loopback addresses only, unless --unsafe.")] = "127.0.0.1",
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Serve other hosts, without any password.")] = False,
) -> None:
    """Serve the MLflow page of the output folder, and print a link to each sweep."""
    from raycon.tracking.server import serve_ui

    raise typer.Exit(serve_ui(_settings(out).folder, host, port, unsafe=unsafe))


@app.command()
def sync(name: Name, out: Out = None, tracking: Tracking = None) -> None:
    """Deliver a sweep's whole event log to MLflow again; what is there already stays once."""
    from raycon.reporting.figures import run_figure, sweep_figure
    from raycon.sweep_folders import find_sweep
    from raycon.tracking import Figures
    from raycon.tracking import sync as deliver

    settings = _settings(out)
    folder = find_sweep(name, settings)
    count = deliver(folder, tracking, folder.parent, Figures(run_figure, sweep_figure))
    _print(f"{count} events delivered")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the files, for an editor."""
    from raycon.space import json_schema

    _print(json.dumps(json_schema(), indent=1))


def _load(file: str, overrides: Sequence[str] | None, code: Sequence[Path] | None = None) -> Space:
    from raycon.space_loading import load

    return load(file, overrides or (), code=code or ())


def _load_begun(file: str, overrides: Sequence[str] | None, code: Sequence[Path] | None, settings: Settings) -> Space:
    """The space of a file. Where no code is named, that which the sweep of its name was begun with is taken."""
    from raycon.own_code import kept_code
    from raycon.space import load, name_of

    kept = None if code else kept_code(settings.folder / name_of(file, overrides or ()))
    return load(file, overrides or (), code=kept) if kept else _load(file, overrides, code)


def _with_name(overrides: Sequence[str] | None, name: str | None) -> Sequence[str] | None:
    return [*(overrides or ()), f"name={name}"] if name else overrides


def _own_lines(space: Space) -> list[str]:
    """The user's own code, for people: hashes and names."""
    named = ", ".join(space.code.names)
    return [f"code     {', '.join(digest[:8] for digest in space.code.hashes)}: {named}"] if space.code else []


def _settings(
    out: Path | None,
    slots: int | None = None,
    gpus: float | None = None,
    storage: str | None = None,
    tracking: str | None = None,
    require: bool = False,
    wait: float = 30,
) -> Settings:
    from raycon.settings import Settings

    resources = None if gpus is None else {"cpu": 1.0, "gpu": gpus}
    return Settings(out, storage, slots, resources, tracking, require, wait_minutes=wait)


def _sweep(
    space: Space, settings: Settings, trials: int | None, quiet: bool, as_json: bool, fork: bool = False
) -> tuple[SweepResult, Settings]:
    from raycon.searching import sweep as run_sweep

    settings = replace(settings, out=settings.folder)
    with _progress(trials or space.sweep.trials, space, settings, quiet, as_json, _objectives(space)) as observer:
        return run_sweep(space, trials=trials, settings=settings, observer=observer, fork=fork), settings


def _objectives(space: Space) -> list[str]:
    return [*space.sweep.maximize, *space.sweep.minimize]


def _progress(
    total: int, space: Space, settings: Settings, quiet: bool, as_json: bool, objectives: list[str]
) -> SweepProgress:
    from raycon.metric_names import metric
    from raycon.progress import SweepProgress
    from raycon.space import first_trial

    directed = [(name, metric(name).direction == "higher") for name in objectives]
    slots = settings.slots or max((os.cpu_count() or 1) // space.sweep.workers, 1)
    epochs = first_trial(space).training.epochs
    return SweepProgress(total, epochs, directed, min(slots, space.sweep.lag + 1), json=as_json, quiet=quiet)


def _conclude(result: SweepResult, settings: Settings, as_json: bool = False) -> None:
    """The end of a sweep on stdout: table, best configuration, report, and where to look."""
    from raycon.reporting.tables import objective_rows, short_names, shown, to_markdown
    from raycon.reports import report as write

    history = result.history
    rows = objective_rows(history)
    if as_json:
        _print(*(_json(row) for row in rows))
        return
    names = short_names(list(dict.fromkeys(name for row in rows for name in row if "." in name)))
    _print(to_markdown([{names.get(key, key): value for key, value in row.items()} for row in rows]).rstrip(), "")
    if len(_objectives(result.space)) == 1:
        best, objective = result.best(), _objectives(result.space)[0]
        _print(f"best: run {best.run.number}, {objective} = {shown(best.metrics[objective])}")
        _print(*(f"  {path} = {shown(value)}" for path, value in best.values.items()))
    else:
        _print(f"Pareto front: runs {', '.join(str(winner.run.number) for winner in result.front())}")
    _print("", f"report: {write(history.name, settings=settings)}")
    if settings.tracking != "off":
        _print(*_tracking_lines(history, result.folder, settings))


def _tracking_lines(history: SweepHistory, folder: Path, settings: Settings) -> list[str]:
    """Where the sweep is seen in MLflow; nothing where nothing was delivered."""
    from raycon.tracking import resolve_uri
    from raycon.tracking.redaction import redact_text
    from raycon.tracking.server import sweep_link

    uri = resolve_uri(settings.tracking, settings.folder)
    served = uri.startswith("http")
    link = sweep_link(history, folder, redact_text(uri) if served else "http://127.0.0.1:5000")
    if link is None:
        return []
    return [f"MLflow: {link}" if served else f"MLflow: `raycon ui --out {settings.folder}`, then {link}"]


def _chosen(result: SweepResult, number: int | None) -> Winner:
    """The run to repeat: the best one, or that of the given number."""
    from raycon.results import Winner

    runs = result.history.runs
    if number is None:
        if len(_objectives(result.space)) > 1:
            front = ", ".join(str(winner.run.number) for winner in result.front()) or "none"
            raise InvalidFile(f"needed, as the sweep has several objectives; its front: {front}", field="--run")
        return result.best()
    if number >= len(runs):
        raise InvalidFile(f"{result.folder.name} has runs 0 to {len(runs) - 1}, no {number}", field="--run")
    return Winner(result.space, runs[number], result.settings, result.folder.name)


def _repeated(result: RepeatResult, as_json: bool) -> None:
    for difference in result.differences():
        row: dict[str, Any] = {"name": difference.name, "rival": difference.rival, "score": difference.score}
        row["lost"] = list(difference.lost)
        interval = difference.interval
        if interval is not None:
            row |= {
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": len(difference.seeds),
                "p": difference.p,
            }
        _print(_json(row) if as_json else difference.line)
    if not as_json:
        _print(*(f"winner - {name}: the winner is {name} itself" for name in result.same))
        _print(f"score: {result.score}; runs: {result.folder}")


def _numbers(text: str) -> list[int]:
    """'1,2,5-7' -> [1, 2, 5, 6, 7]."""
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            found += range(int(first), int(last or first) + 1)
        return found
    except ValueError:
        raise InvalidFile(f"should be numbers such as 1,2,3 or 10-14, not {text!r}", field="--seeds") from None


def _json(row: Mapping[str, Any]) -> str:
    """One line of strict JSON: numbers that are not finite become null."""
    plain = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in row.items()}
    return json.dumps(plain, allow_nan=False)


def _print(*lines: str) -> None:
    for line in lines:
        print(line)


def _reused_lines(study: Study, settings: Settings, space: Space) -> list[str]:
    from raycon.execution import reusable_runs
    from raycon.reuse import origin_lines

    return origin_lines(reusable_runs(study, settings, space.code), len(study.runs))


def _tell(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _result(values: dict[str, Any], as_json: bool) -> None:
    from raycon.reporting.tables import shown

    _print(_json(values) if as_json else "\n".join(f"{name} = {shown(value)}" for name, value in values.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point. Every failure that is meant for the user is one message and an exit code."""
    from raycon.tracking.redaction import RedactionFilter

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactionFilter())
    level = os.environ.get("RAYCON_LOG", "WARNING").upper()
    logging.basicConfig(handlers=[handler], level=level, format="%(message)s")
    sys.exit(_exit_code(lambda: app(args=arguments, standalone_mode=False)))


def _show_usage_error(error: Any) -> None:
    """One line, and where more is to be read; the whole help where a command was called with nothing at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "raycon"
    message = " ".join(error.format_message().split())
    print(f"{path}: {message} (`{path} --help` says more)", file=sys.stderr)


def _exit_code(call: Callable[[], Any]) -> int:
    # Typer brings a Click of its own in newer versions: only what Typer itself names is sure to be what it raises.
    bases: tuple[type[Any], ...] = typer.BadParameter.__mro__
    usage_error: type[Exception] = next(base for base in bases if base.__name__ == "ClickException")
    try:
        result = call()
        code = result if isinstance(result, int) else 0
        if code == INTERRUPTED:
            print(INTERRUPTION, file=sys.stderr)
        return code
    except RayconError as error:
        print(f"raycon: {error}" if not isinstance(error, InvalidFile) else str(error), file=sys.stderr)
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except usage_error as error:
        _show_usage_error(error)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain when it flushes the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"raycon: {error}", file=sys.stderr)
        return 1


for _command in (bundle, verify, replicate, compare, doctor):
    app.command()(_command)
app.command("eval")(evaluate)
