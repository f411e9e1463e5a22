"""The command `raycon doctor`: whether this machine, and a cluster, have what runs need."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raycon.commands.options import Out

if TYPE_CHECKING:
    from raycon.diagnosis import Check


def doctor(
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Look at this cluster too.  \\[default: $RAY_ADDRESS]")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="The folder or URI that all nodes must reach.  \\[default: $RAYCON_STORAGE]")
    ] = None,
    out: Out = None,
    tracking: Annotated[
        str | None, typer.Option(help="MLflow URI.  \\[default: $MLFLOW_TRACKING_URI or a file in --out]")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of `raycon ui`.")] = 5000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Check this machine, and with an address every node of a cluster. Exit code 1 if something is wrong."""
    from raycon.diagnosis import failed, local_checks
    from raycon.object_storage import is_uri
    from raycon.settings import Settings

    folder = Settings(out=out).folder
    store = tracking or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    checks = local_checks(folder, store, port)
    shared = Settings(storage=storage).shared
    if shared and is_uri(shared):
        checks.append(_check_bucket(shared))
    cluster = address or os.environ.get("RAY_ADDRESS")
    if cluster:
        from raycon.cluster.doctor import look_at_cluster

        checks += look_at_cluster(cluster, shared)
    for check in checks:
        print(json.dumps(asdict(check)) if as_json else check.line)
    if not as_json:
        wrong, warned = (sum(check.state == state for check in checks) for state in ("failed", "warning"))
        print(f"{len(checks)} checks, {wrong} failed, {warned} warnings" + ("" if cluster else "; no cluster named"))
    raise typer.Exit(int(failed(checks)))


def _check_bucket(place: str) -> Check:
    """Whether this machine can write to, read from and remove from object storage."""
    from raycon.diagnosis import Check
    from raycon.errors import InvalidFile
    from raycon.object_storage import check_reachable, shown

    try:
        check_reachable(place)
    except InvalidFile as error:
        problem, _, fix = error.reason.rpartition("; check ")
        return Check("object storage", "failed", problem, f"check {fix}")
    return Check("object storage", "ok", f"{shown(place)}: written, read and removed from here")
