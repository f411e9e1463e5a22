"""Runs a raycon command on the head of a cluster: `ray submit cluster.yaml submit.py -- sweep FILE --name NAME`.

`ray submit` copies this one file to the head and runs it there; raycon itself was installed by `ray up`. Relative paths
are those of the checkout, as at home. How the command ended stands in `submissions.jsonl` of the output folder, where
`raycon runs ls` and `runs show` find it, since `ray submit` itself answers with zero or one only.

Whoever closes the terminal ends a command that was begun so, as Ctrl-C does; what was done is kept, and the same
command goes on with it. `ray job submit` does not need the terminal.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType

HOME = Path("~/raycon").expanduser()
"""Where the cluster files put the package."""

SAFE = re.compile(r"[\w./:=,+@%-]+", re.ASCII)
"""`ray submit` hands arguments to a shell without quoting: what is not matched would not arrive as it was written."""

JOB = "`ray job submit --working-dir FOLDER -- raycon ...` passes every argument on as it is"


def unsafe(arguments: Sequence[str]) -> list[str]:
    """The arguments that a shell would take apart or act upon."""
    return [argument for argument in arguments if not SAFE.fullmatch(argument)]


def given(arguments: Sequence[str], option: str) -> list[str]:
    """The values of an option: `--name first` and `--name=first`."""
    after = [value for flag, value in pairwise(arguments) if flag == option]
    return after + [one.removeprefix(f"{option}=") for one in arguments if one.startswith(f"{option}=")]


def sweep_of(arguments: Sequence[str]) -> str | None:
    """The name of the sweep that a command is about, if it names a file that can be read."""
    from raycon.errors import RayconError
    from raycon.space import name_of

    if named := given(arguments, "--name"):
        return named[-1]
    files = [argument for argument in arguments[1:] if argument.endswith((".yaml", ".yml"))]
    try:
        return name_of(files[0], given(arguments, "--set")) if files else None
    except (RayconError, OSError):
        return None


def run(arguments: Sequence[str]) -> int:
    """The exit code of a raycon command that is run in this process."""
    from raycon.cli import main

    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


def hang_up(number: int, frame: FrameType | None) -> None:
    """A closed terminal is an interruption like any other: the runs are stopped in good order. Nobody reads any more,
    and whoever wrote to that terminal would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)


def submit(arguments: Sequence[str]) -> int:
    """Checks the arguments, runs the command on the cluster of this machine, and records how it ended."""
    if not arguments:
        print("submit.py: what is to be run? Such as: sweep search_spaces/thanos.yaml --name first", file=sys.stderr)
        return 2
    if bad := unsafe(arguments):
        told = " ".join(repr(argument) for argument in bad)
        print(f"submit.py: `ray submit` cannot pass {told} on; letters, digits and ./:=,+@%-_ it can", file=sys.stderr)
        print(f"submit.py: {JOB}", file=sys.stderr)
        return 2
    from raycon.settings import Settings
    from raycon.submissions import begin, end
    from raycon.tracking.redaction import redact_text
    from raycon.versions import installed_versions

    os.environ.setdefault("RAY_ADDRESS", "auto")
    if HOME.is_dir():
        os.environ.setdefault("RAYCON_OUT", str(HOME.parent / "raycon_out"))
        os.chdir(HOME)
    signal.signal(signal.SIGHUP, hang_up)
    named = given(arguments, "--out")
    out = Settings(out=Path(named[-1]) if named else None).folder
    shown = [redact_text(argument) for argument in arguments]
    begun = begin(out, shown, sweep_of(arguments), socket.gethostname(), installed_versions())
    code = 1
    try:
        code = run(arguments)
    finally:
        end(out, begun, code)
    if code == 2:
        print(f"submit.py: arguments with spaces, brackets or braces do not arrive whole; {JOB}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(submit(sys.argv[1:]))
