"""From a file and a user's own code to a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raycon.errors import InvalidFile
from raycon.own_code import OwnCode, kept_code, own_code, refuse_while_loading
from raycon.settings import Settings
from raycon.space import Space, name_of
from raycon.space import load as load_space


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


def load_begun(path: str, overrides: Sequence[str], code: Sequence[Path], settings: Settings) -> Space:
    """As `load`; where no code is named, that which the sweep of its name was begun with is taken."""
    kept = None if code else kept_code(settings.folder / name_of(path, overrides))
    return load_space(path, overrides, code=kept) if kept else load(path, overrides, code=code)


def with_own_code(
    space: Space | str | Path, terms: Sequence[Callable[..., Any]], loop: Callable[..., Any] | None
) -> Space:
    """A space, or that of a file, with functions of the caller's own."""
    given = own_code(terms, loop)
    return _using(space.with_code(given) if isinstance(space, Space) else load_space(space, code=given), given)


def _using(space: Space, given: OwnCode) -> Space:
    """The space, if it uses all code that it was given: what is named nowhere is a slip."""
    for text in given.texts:
        if text not in space.code.texts:
            names = ", ".join(OwnCode((text,)).names)
            raise InvalidFile(
                f"{space.name} names none of {names} in objective, transforms or networks", field="own code"
            )
    return space
