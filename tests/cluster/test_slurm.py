"""`slurm.sbatch` on a Slurm of one node, whose daemons are Debian's: a sweep meets its time limit and is requeued.

All of it runs in namespaces of its own (see `own_machine`), so no Slurm, Ray or port of this machine is met.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from raycon.history import SweepHistory, read_sweep
from tests.cluster.own_machine import ADDRESS, on_own_machine, skip_without_namespaces
from tests.hosts.packages import install_missing

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PACKAGES = {"slurmd": "slurmd", "slurmctld": "slurmctld", "sbatch": "slurm-client", "munged": "munge"}

SPACE = """
name: slurm-test
trial:
  data: {dataset: digits}
  objective: {supcon: {temperature: {log_uniform: [0.05, 0.5]}}}
  training: {epochs: 4}
sweep: {maximize: validation/linear_probe/accuracy, trials: 4, lag: 0}
"""

LOOP = """
import time

import torch

from raycon.runs import Scored


def slow(trial, checkpoint):
    checkpoint.keep(body=torch.nn.Linear(2, 2))
    for epoch in checkpoint.epochs():
        time.sleep(6)
        yield Scored(epoch, {"validation/linear_probe/accuracy": trial.objective["supcon"]["temperature"]})


TRAIN = [slow]
"""
"""Its time does not depend on the machine: the limit has to come between the first run's end and the last one's."""

CONFIG = """
ClusterName=own
SlurmctldHost=own({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credentials have expired; two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
SlurmdTimeout=600
MessageTimeout=60
BatchStartTimeout=300
NodeName=own NodeAddr={address} CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=own Default=YES MaxTime=INFINITE State=UP
"""

START = """
folder=$1
export SLURM_CONF=$folder/slurm.conf
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munge.pid" \\
  --log-file="$folder/munge.log" --seed-file="$folder/munge.seed"
slurmctld
slurmd
for _ in $(seq 120); do sinfo -h -t idle -o %T | grep -q idle && break; sleep 0.5; done
sinfo
cd "$folder/work"
"""
STOP = """
kill "$(cat "$folder/slurmd.pid")" "$(cat "$folder/slurmctld.pid")" "$(cat "$folder/munge.pid")"
"""

SCRIPT = """
job=$(sbatch --parsable --time=60 {checkout}/slurm.sbatch space.yaml --code loop.py --slots 1 --tracking off --quiet)
echo "job $job"
# Once a run is complete, the limit is set so near that the controller sends the signal at its next look.
for _ in $(seq 400); do grep -qs '"kind":"finished"' raycon_out/slurm-test/events.jsonl && break; sleep 0.5; done
elapsed=$(squeue -h -j "$job" -o %M | awk -F: '{{ print ($(NF - 1)) + 3 }}')
scontrol update JobId="$job" TimeLimit="$elapsed"
for _ in $(seq 800); do
  state=$(scontrol show job "$job" | sed -n 's/.*JobState=\\([A-Z]*\\).*/\\1/p')
  case "$state" in COMPLETED | FAILED | TIMEOUT | CANCELLED | NODE_FAIL) break ;; esac
  # The second time it may take as long as it likes.
  [ "$state" = PENDING ] && scontrol update JobId="$job" TimeLimit=60
  sleep 0.5
done
scontrol show job "$job" | grep -E 'JobState|Restarts'
cat raycon-*.log
"""

BINDING = """
TaskPlugin=task/affinity
TaskPluginParam=autobind=cores
SlurmdParameters=config_overrides
"""
"""A site that gives each task a core of its own."""

ALLOWED = """#!/usr/bin/env bash
taskset -cp $$
"""
"""In place of Ray: which processors it might use."""

ALLOWED_SCRIPT = """
for options in --comment=none --cpus-per-task=1; do
  job=$(sbatch --parsable --time=60 "$options" {checkout}/slurm.sbatch space.yaml)
  for _ in $(seq 200); do squeue -h -j "$job" 2> /dev/null | grep -q . || break; sleep 0.2; done
  cat "raycon-$job.log"
done
"""


def install_slurm() -> None:
    """Debian's packages, where they are not there."""
    if missing := install_missing(PACKAGES):
        pytest.skip(f"SKIPPED FOR REAL: no Slurm here, and none to be had by apt-get: {', '.join(missing)}")


def prepare(folder: Path) -> None:
    """Configuration, key and the folder that the job is submitted from."""
    for name in ("state", "spool", "work"):
        (folder / name).mkdir(parents=True)
    cpus = len(os.sched_getaffinity(0))
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, address=ADDRESS, cpus=cpus))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "work" / "space.yaml").write_text(SPACE)
    (folder / "work" / "loop.py").write_text(LOOP)


def test_a_sweep_that_meets_its_limit_is_requeued_and_ends_with_every_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_namespaces()
    install_slurm()
    prepare(tmp_path)
    monkeypatch.setenv("RAYCON_VENV", sys.prefix)
    monkeypatch.delenv("RAYCON_OUT", raising=False)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    started = time.monotonic()
    checkout = Path(__file__).parents[2]
    found = on_own_machine(tmp_path, START + SCRIPT.format(checkout=checkout) + STOP, 560)
    told = found.stdout + found.stderr
    assert "JobState=COMPLETED" in told and "Restarts=1" in told, told[-5000:]
    assert "the time limit is near" in told and "requeued, restart 1" in told
    history = read_sweep(tmp_path / "work" / "raycon_out" / "slurm-test")
    check_runs(history)
    assert not list((tmp_path / "work" / "raycon_out").glob(".slurm-*"))
    print(f"{time.monotonic() - started:.0f} s")


def check_runs(history: SweepHistory) -> None:
    """Every run once, in two attempts, of which the first ended in good order."""
    assert [run.number for run in history.runs] == [0, 1, 2, 3]
    assert history.counts() == {"complete": 4}
    assert len(history.attempts) == 2
    assert history.attempts[0].closed_at is not None
    assert all(sorted(run.epochs) == [1, 2, 3, 4] for run in history.runs)
    interrupted = [run for run in history.runs if len(run.tries) == 2]
    assert [attempt for run in interrupted for attempt, _ in run.tries] == [1, 2]


def test_ray_may_use_every_processor_of_the_job_where_tasks_are_bound_to_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_namespaces()
    if (cpus := len(os.sched_getaffinity(0))) < 2:
        pytest.skip("SKIPPED FOR REAL: a single processor is not taken from anybody")
    install_slurm()
    prepare(tmp_path)
    written = (tmp_path / "slurm.conf").read_text()
    cores = f"CPUs={cpus} Sockets={cpus} CoresPerSocket=1 ThreadsPerCore=1"
    changed = written.replace("TaskPlugin=task/none", BINDING).replace(f"CPUs={cpus}", cores)
    (tmp_path / "slurm.conf").write_text(changed)
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "ray").write_text(ALLOWED)
    (programs / "ray").chmod(0o700)
    monkeypatch.setenv("RAYCON_VENV", str(tmp_path / "venv"))
    monkeypatch.delenv("RAYCON_OUT", raising=False)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    checkout = Path(__file__).parents[2]
    found = on_own_machine(tmp_path, START + ALLOWED_SCRIPT.format(checkout=checkout) + STOP, 120)
    lists = re.findall(r"affinity list: (\S+)", found.stdout)
    assert [processors(one) for one in lists] == [os.sched_getaffinity(0)] * 2, found.stdout + found.stderr


def processors(listed: str) -> set[int]:
    """`0,2-4` as numbers."""
    ends = [one.split("-") for one in listed.split(",")]
    return {number for one in ends for number in range(int(one[0]), int(one[-1]) + 1)}
