"""Errors that raycon answers with a message and an exit code, never with a traceback."""

from __future__ import annotations


class RayconError(Exception):
    """A failure whose message is meant for the user. `exit_code` is what the command line returns."""

    exit_code = 1


class InvalidFile(RayconError):
    """A file, field or option that cannot be used as written."""

    exit_code = 2

    def __init__(self, reason: str, *, file: str | None = None, line: int | None = None, field: str | None = None):
        self.reason, self.file, self.line, self.field = reason, file, line, field
        place = ":".join(str(part) for part in (file, line) if part is not None)
        message = ": ".join(part for part in (place, field, reason) if part)
        # One line, whatever a file or an option had in it.
        super().__init__("".join(letter if letter.isprintable() else " " for letter in message))


class MissingData(InvalidFile):
    """A data set that is not where it was looked for; the message says where that was and how to get it."""


class SomeRunsFailed(RayconError):
    """The sweep is finished, but at least one of its runs failed."""

    exit_code = 3


class LimitHit(RayconError):
    """A budget or a time limit was reached. What was done is kept."""

    exit_code = 4


class Refused(RayconError):
    """A request that would mix or overwrite results: another identity, a sealed test set, a locked folder."""

    exit_code = 5


class Diverged(RayconError):
    """A loss or a gradient became NaN or infinite. The run ends here, with the step in its message."""

    exit_code = 3

    def __init__(self, what: str, *, epoch: int, step: int):
        self.what, self.epoch, self.step = what, epoch, step
        super().__init__(f"{what} is not finite at epoch {epoch}, step {step}")


def nearest(name: str, known: list[str] | tuple[str, ...] | set[str] | dict[str, object]) -> str:
    """' (did you mean X?)' when a known name is close to `name`, else the empty string."""
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
