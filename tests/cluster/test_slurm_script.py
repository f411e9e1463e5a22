"""`slurm.sbatch` itself, with `srun` and `scontrol` that only say what they were asked: codes, signals, binding."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
JOB = "7"

SRUN = """#!/usr/bin/env bash
printf 'srun %s\\n' "$*" >> "$CALLS"
case "$*" in *symmetric-run*) ;; *) exit 0 ;; esac
{step}
"""
SCONTROL = """#!/usr/bin/env bash
printf 'scontrol %s\\n' "$*" >> "$CALLS"
"""

UNTIL_TERM = """
trap 'sleep 0.3; echo stopped >> "$CALLS"; exit {code}' TERM
echo $$ > "$RAYCON_OUT/.slurm-7/pid"
while :; do sleep 0.05; done
"""
"""A sweep that needs a moment to stop."""


class Job:
    """The script as Slurm's first node starts it, and what it has called."""

    def __init__(self, folder: Path, step: str, **settings: str):
        programs = {"srun": SRUN.format(step=step), "scontrol": SCONTROL}
        programs["python"] = f'#!/usr/bin/env bash\nexec {shlex.quote(sys.executable)} "$@"\n'
        (folder / "venv" / "bin").mkdir(parents=True)
        for name, text in programs.items():
            (folder / "venv" / "bin" / name).write_text(text)
            (folder / "venv" / "bin" / name).chmod(0o700)
        self.called, self.own = folder / "calls", folder / "out" / f".slurm-{JOB}"
        slurm = {"SLURM_JOB_ID": JOB, "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_ON_NODE": "8"}
        places = {"SLURM_SUBMIT_DIR": folder, "RAYCON_OUT": folder / "out", "RAYCON_VENV": folder / "venv"}
        self.settings = {**slurm, **{name: str(path) for name, path in places.items()}, **settings}
        self.settings |= {"PATH": os.environ["PATH"], "CALLS": str(self.called), "RAYCON_HEAD": "192.0.2.1"}
        self.process = subprocess.Popen(
            ["bash", str(ROOT / "slurm.sbatch"), "space.yaml"],
            env=self.settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def interrupt(self) -> None:
        """What Slurm does before the time limit, once the sweep runs."""
        pid = self.own / "pid"
        wait_until(lambda: pid.exists() and pid.read_text(), 10, "the sweep", every=0.02)
        self.process.send_signal(signal.SIGUSR1)

    def ended(self) -> int:
        """The exit code of the script; one that waits for ever is ended."""
        try:
            told, _ = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            pytest.fail("the script did not end with its step")
        assert "unbound variable" not in told, told
        return self.process.returncode

    def calls(self) -> list[str]:
        """One line a call, in order."""
        return self.called.read_text().splitlines()


@pytest.mark.parametrize("code", [0, 1, 3, 138])
def test_the_script_ends_as_its_step(tmp_path: Path, code: int) -> None:
    """138 is also what `wait` says when the signal of the time limit came."""
    job = Job(tmp_path, f"exit {code}")
    assert job.ended() == code
    assert not any("requeue" in call for call in job.calls())
    assert not job.own.exists()


@pytest.mark.parametrize("code", [130, 138])
def test_an_interrupted_sweep_is_waited_for_and_requeued(tmp_path: Path, code: int) -> None:
    job = Job(tmp_path, UNTIL_TERM.format(code=code))
    job.interrupt()
    assert job.ended() == 0
    calls = job.calls()
    assert calls.index("stopped") < calls.index(f"scontrol requeue {JOB}")


def test_a_sweep_that_ends_at_the_limit_is_not_requeued(tmp_path: Path) -> None:
    job = Job(tmp_path, UNTIL_TERM.format(code=0))
    job.interrupt()
    assert job.ended() == 0
    assert "stopped" in job.calls() and not any("requeue" in call for call in job.calls())


@pytest.mark.parametrize(("settings", "cpus"), [({}, 8), ({"SLURM_CPUS_PER_TASK": "4"}, 4)])
def test_ray_is_bound_to_no_core_and_told_of_those_it_may_use(
    tmp_path: Path, settings: dict[str, str], cpus: int
) -> None:
    job = Job(tmp_path, "exit 0", **settings)
    assert job.ended() == 0
    (step,) = (call for call in job.calls() if "symmetric-run" in call)
    of_srun, of_ray = step.split(" bash ", 1)
    assert "--cpu-bind=none" in of_srun.split()
    # With a number of its own the step would be cut down to it (`--exact`); without one it has all that the job has.
    assert "--cpus-per-task" not in of_srun and "--exact" not in of_srun
    assert f"--num-cpus={cpus}" in of_ray.split()
