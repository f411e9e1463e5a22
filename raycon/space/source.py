"""Where a value stands: turns a path inside a file into `file:line: field`, and knows what `--set` has replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raycon.errors import InvalidFile
from raycon.space.strict_yaml import Document, Keys
from raycon.wording import one_line

TOP_LEVEL = ("name", "trial", "sweep", "repeat", "ablation")


def own_name(keys: Keys) -> str:
    """The dotted name of a value: without the leading `trial`, and without the names of options on the way to it."""
    parts = list(keys[1:] if keys[:1] == ("trial",) else keys)
    while "choice" in parts:
        index = parts.index("choice")
        del parts[index : index + 2]
    return one_line(".".join(str(part) for part in parts), longest=120)


@dataclass(frozen=True)
class Source:
    """A document and the keys of what `--set` replaced in it."""

    document: Document
    overridden: frozenset[Keys] = frozenset()

    def is_overridden(self, keys: Keys) -> bool:
        """Whether the value, or something that holds it, comes from `--set`."""
        return any(keys[: len(key)] == key for key in self.overridden)

    def refuse(self, reason: str, keys: Keys, *, field: str | None = None) -> InvalidFile:
        """The error for the value at `keys`, on one line."""
        reason = one_line(reason, longest=600)
        field = one_line(field, longest=120) if field else own_name(keys) or None
        # A part that the file does not write is there only because an override put something into it.
        made = keys not in self.document.lines and any(key[: len(keys)] == keys for key in self.overridden)
        if made or self.is_overridden(keys):
            return InvalidFile(reason, file="--set", field=field)
        return InvalidFile(reason, file=self.document.file, line=self.document.line(keys), field=field)


def find_keys(field: str, origins: Mapping[str, Keys], data: Any) -> Keys:
    """The place in the file of a dotted field, or of the nearest value that holds it."""
    names = field.split(".") if field else []
    for length in range(len(names), 0, -1):
        start = ".".join(names[:length])
        if start in origins:
            return (*origins[start], *names[length:])
    keys: list[str | int] = [] if names and names[0] in TOP_LEVEL else ["trial"]
    here = data.get("trial") if keys else data
    while names:
        key, length = _next_key(here, names)
        keys.append(key)
        here = here[key] if length else None
        names = names[length or 1 :]
    return tuple(keys)


def _next_key(here: Any, names: Sequence[str]) -> tuple[Any, int]:
    """The key of `here` that the longest part of the names spells, and how many it took: keys may hold dots."""
    for length in range(len(names), 0, -1):
        key = ".".join(names[:length])
        if isinstance(here, dict) and key in here:
            return key, length
    if isinstance(here, list) and names[0].isdigit() and int(names[0]) < len(here):
        return int(names[0]), 1
    return names[0], 0
