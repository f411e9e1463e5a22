"""Sweeps whose weights and log lie in a bucket: a head that is lost in the middle of a run, and worker groups.

The server speaks S3's protocol on this machine (moto); its own record of requests says what was read and written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import raycon
from raycon.events import parse
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep
from raycon.object_storage import ObjectFolder, read_text
from raycon.reports import report
from raycon.settings import Settings
from tests.buckets import Server, environment, s3_server
from tests.hosts.clusters import outcome, space

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
EPOCHS = 12


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    cache = {"RAYCON_CACHE": str(tmp_path / "cache")}
    with s3_server(tmp_path) as server, environment({**server.settings, **cache}):
        yield server


def space_file(folder: Path, trials: int, epochs: int, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(space("small", data="digits", epochs=epochs, trials=trials, **changes)))
    return path


@contextlib.contextmanager
def begun(file: Path, out: Path, storage: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`raycon sweep` on these, which does not outlive the block."""
    main = "from raycon.cli import main; main()"
    command = [sys.executable, "-c", main, "sweep", str(file), "--out", str(out), "--storage", storage]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    settings |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    options = ("--slots", "1", "--tracking", "off", "--quiet", *options)
    process = subprocess.Popen([*command, *options], cwd=ROOT, env=settings)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def requests(folder: Path, method: str, key: str, attempt: int) -> list[int]:
    """The epochs of a run whose weights were asked for in this way, as the server tells."""
    pattern = rf'"(?:\x1b\[[0-9;]*m)*{method} /\S*/runs/{key}/attempt-{attempt}/epoch-(\d+)/state.safetensors'
    return [int(epoch) for epoch in re.findall(pattern, (folder / "moto.txt").read_text())]


def kill_in_the_middle(process: subprocess.Popen[bytes], bucket: ObjectFolder) -> RunRecord:
    """SIGKILL when the log in the bucket tells the second epoch of the second run; what it tells of that run then."""
    limit = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < limit:
        runs = logged(bucket).runs
        if len(runs) > 1 and runs[1].last_epoch >= 2:
            break
        time.sleep(0.2)
    assert process.poll() is None, "the sweep ended before it could be killed"
    assert time.monotonic() < limit, "the second run did not come to its second epoch"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return logged(bucket).runs[1]


def logged(bucket: ObjectFolder) -> SweepHistory:
    return SweepHistory.of(parse(bucket.read(LOG_NAME) or b"")[0])


def test_a_new_head_goes_on_from_the_bucket(tmp_path: Path, server: Server) -> None:
    file, out, storage = space_file(tmp_path, 2, EPOCHS, lag=0), tmp_path / "out", f"{server.uri}/sweeps"
    whole = raycon.sweep(file, settings=Settings(out=tmp_path / "whole", tracking="off", here=True)).history

    bucket = ObjectFolder(f"{storage}/small")
    with begun(file, out, storage) as first:
        known = kill_in_the_middle(first, bucket)
    assert not known.finished and 2 <= known.last_epoch < EPOCHS
    shutil.rmtree(out)
    began = time.monotonic()
    with begun(file, out, storage) as second:
        assert second.wait(400) == 0
    print(f"the second command took {time.monotonic() - began:.0f} s")

    history = read_sweep(out / "small")
    assert outcome(history) == outcome(whole)
    assert [attempt.number for attempt in history.attempts] == [1, 2]
    run = history.runs[1]
    assert len(run.tries) == 2 and not any(run.losses for run in history.runs)
    # The new head knew what the old one had recorded, and its worker read those weights and went on behind them.
    assert requests(tmp_path, "GET", run.key, 1) == [known.last_epoch] == requests(tmp_path, "PUT", run.key, 2)[:1]
    attempts = {epoch: place.split("/")[-2] for epoch, place in run.checkpoints.items()}
    assert attempts == {e: f"attempt-{1 if e <= known.last_epoch else 2}" for e in range(1, EPOCHS + 1)}
    assert requests(tmp_path, "PUT", history.runs[0].key, 2) == []

    assert bucket.read(LOG_NAME) == (out / "small" / LOG_NAME).read_bytes()
    names = bucket.names()
    assert sum(name.endswith("state.safetensors") for name in names) == 4 and not any("tune" in n for n in names)
    assert not list(out.rglob("*.safetensors"))

    from raycon.one_pass import evaluate

    page = report("small", settings=Settings(out=out, tracking="off"))
    best = history.best()
    assert best is not None and f"{best.key[:4]}" in page.read_text() and list(page.parent.rglob("*embedding*"))
    judged = evaluate(out / "small", protocols=["nearest_neighbours"])
    name = "validation/nearest_neighbours/accuracy"
    assert judged.encoder == best.checkpoint and judged.metrics[name] == best.metrics[name]
    assert len(list((tmp_path / "cache").glob("raycon-checkpoint-*"))) <= 2, "of the killed process, and of this one"


def test_a_worker_group_reads_and_writes_weights_in_the_bucket(tmp_path: Path, server: Server) -> None:
    file = space_file(tmp_path, 1, 3, workers=2)
    options = ("--set", "training.batch_size=50")
    with begun(file, tmp_path / "out", f"{server.uri}/groups", *options) as sweep:
        assert sweep.wait(400) == 0
    history = read_sweep(tmp_path / "out" / "small")
    run = history.runs[0]
    assert run.state == "complete" and not run.losses
    assert json.loads(read_text(run.checkpoint or "", "manifest.json"))["bytes"] == ObjectFolder(
        run.checkpoint or ""
    ).size("state.safetensors")
    assert not any("tune" in name for name in ObjectFolder(f"{server.uri}/groups").names())


def test_what_cannot_be_reached_is_refused_before_anything_starts(tmp_path: Path, server: Server) -> None:
    file, out = space_file(tmp_path, 1, 1), tmp_path / "out"
    began = time.monotonic()
    with begun(file, out, "s3://no-such-bucket/x") as sweep:
        assert sweep.wait(100) == 2
    print(f"refused after {time.monotonic() - began:.1f} s")
    assert not (out / "small").exists()


def test_the_doctor_looks_at_a_bucket_from_every_node(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        pytest.skip("SKIPPED FOR REAL: the doctor attaches, and this process is attached to another Ray already")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    from raycon.cluster.doctor import look_at_cluster

    cluster: Any = Cluster()
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False)
        cluster.add_node(num_cpus=1)
        checks = {check.name: check for check in look_at_cluster(str(cluster.address), f"{server.uri}/doctor")}
        assert checks["shared storage"].found == f"{server.uri}/doctor: written on each of 2 nodes, read on all"
        assert ObjectFolder(f"{server.uri}/doctor").names() == []
        checks = {check.name: check for check in look_at_cluster(str(cluster.address), "s3://no-such-bucket/x")}
        assert checks["shared storage"].state == "failed" and "NO_SUCH_BUCKET" in checks["shared storage"].found
        assert "same credentials or role" in checks["shared storage"].fix
    finally:
        cluster.shutdown()
