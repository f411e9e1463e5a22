"""The command line. Results go to stdout, everything else to stderr; exit codes are those of `raycon.errors`.

Heavy modules are imported inside the commands: `raycon --help` and `raycon runs ls` answer without torch, Ray, Optuna
and MLflow.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from raycon.commands.ablate import ablate
from raycon.commands.compare import compare
from raycon.commands.data import data_app
from raycon.commands.doctor import doctor
from raycon.commands.evaluate import evaluate
from raycon.commands.judge import judge
from raycon.commands.repeat import repeat
from raycon.commands.replication import bundle, replicate, verify
from raycon.commands.report import report
from raycon.commands.runs import runs_app
from raycon.commands.spaces import explain, init, methods, plan, schema
from raycon.commands.sweep import demo, sweep
from raycon.commands.tracking import sync, ui
from raycon.commands.train import train
from raycon.errors import InvalidFile, RayconError

app = typer.Typer(
    name="raycon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which contrastive objective gives features that transfer and stay robust, and is the difference real?",
)
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")
# In the order of `raycon --help`.
for _command in (
    *(demo, methods, init, explain, plan, train, sweep, repeat, ablate, judge, report, ui, sync, schema),
    *(bundle, verify, replicate, compare, doctor),
):
    app.command()(_command)
app.command("eval")(evaluate)

INTERRUPTED = 130
"""The exit code after SIGINT; Typer gives it back instead of the KeyboardInterrupt that it has caught."""
INTERRUPTION = "raycon: interrupted; what was done is kept, the same command goes on with it"


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
