"""The commands `bundle`, `verify` and `replicate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raycon.commands.options import Json, Out, Quiet, Slots, Tracking, settings_of
from raycon.commands.output import json_line
from raycon.errors import SomeRunsFailed

if TYPE_CHECKING:
    from raycon.progress import SweepProgress
    from raycon.replication.rerun import Replicated, Replication

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A file that `raycon bundle` wrote.")]


def bundle(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep, repetition or ablation: name or folder.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="\\[default: SWEEP.zip]")] = None,
    weights: Annotated[bool, typer.Option("--weights", help="With the last weights of every complete run.")] = False,
    keep_paths: Annotated[
        bool, typer.Option("--keep-paths", help="Although the configuration names an absolute path.")
    ] = False,
    out: Out = None,
) -> None:
    """Pack a sweep, repetition or ablation into one file that others can verify and replicate."""
    from raycon.replication.bundle import write_bundle
    from raycon.settings import Settings
    from raycon.sweep_folders import find_sweep

    folder = find_sweep(name, Settings(out=out))
    target = to or Path(f"{folder.name}.zip")
    identifier = write_bundle(folder, target, weights=weights, keep_paths=keep_paths)
    print(f"{target}: {target.stat().st_size} bytes")
    print(f"bundle: {identifier}")


def verify(
    file: Bundle,
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="HASH", help="The bundle's hash as it was published.")
    ] = None,
) -> None:
    """Check a bundle without running anything of it: hashes, log, identity, keys, and when the test set was opened."""
    from raycon.replication.verify import check_published, verify_bundle

    found = verify_bundle(file)
    check_published(found, expect)
    for line in found.checks:
        print(f"ok  {line}")
    print(f"bundle: {found.identifier}")


def replicate(
    file: Bundle,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Runs to do again.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws which runs, and their fresh seeds.")] = 0,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the bundle's own code, which you have read.")
    ] = False,
    out: Out = None,
    slots: Slots = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of each run.  \\[default: 1 where there are any]")
    ] = None,
    storage: Annotated[str | None, typer.Option(help="Where weights go; all nodes must reach it.")] = None,
    tracking: Tracking = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run some of a bundle's runs again, and say whether they are where the stored ones let expect them.

    The same command continues a replication that was interrupted.
    """
    from raycon.history import read_sweep
    from raycon.replication.rerun import judge_replication, plan_replication, run_replication, write_replication
    from raycon.replication.verify import verify_bundle

    found = verify_bundle(file)
    listed, code = plan_replication(found, trials, seed=seed, trust_code=trust_code)
    settings = settings_of(out, slots, gpus, storage, tracking)
    failure: SomeRunsFailed | None = None
    with _progress(listed, slots, as_json, quiet) as observer:
        try:
            run_replication(listed, code, settings, observer)
        except SomeRunsFailed as error:
            failure = error
    folder = settings.folder / listed.name
    judged = judge_replication(listed, read_sweep(folder), found.history)
    page = write_replication(folder, judged)
    _tell(judged, page, as_json)
    if failure is not None:
        raise failure


def _progress(listed: Replication, slots: int | None, as_json: bool, quiet: bool) -> SweepProgress:
    from raycon.metric_names import metric
    from raycon.progress import SweepProgress

    epochs = max(trial.training.epochs for trial in listed.configurations.values())
    directed = [(listed.score, metric(listed.score).direction == "higher")]
    # JSON on standard output is the result alone.
    return SweepProgress(len(listed.picks), epochs, directed, slots or 1, stream=sys.stderr, quiet=quiet or as_json)


def _tell(judged: Replicated, page: Path, as_json: bool) -> None:
    from raycon.reporting.tables import to_markdown

    if as_json:
        for row in judged.rows():
            print(json_line(row))
        print(json.dumps({"verdict": judged.verdict, "reason": judged.reason, "score": judged.score}))
        return
    print(to_markdown(judged.rows()))
    for line in judged.lines():
        print(line)
    print(f"report: {page}")
