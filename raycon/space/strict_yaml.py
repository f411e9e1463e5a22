"""YAML without its traps: what a file says is what is read, and every value remembers its line.

Differences from PyYAML's safe loader: a key that stands twice is refused; `1e-3` is a number; only `true` and `false`
are booleans (`on`, `off`, `yes`, `no` stay text); dates stay text; anchors, aliases, merge keys and tags are refused;
so are NaN, infinities, a second document, more than 1 MB, and keys that are not text. Source: YAML 1.2.2, 10.3.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from raycon.errors import InvalidFile, nearest
from raycon.wording import one_line, shown

Keys = tuple[str | int, ...]

BIGGEST_FILE = 1_000_000
MOST_VALUES = 20_000
DEEPEST = 32
LONGEST_INTEGER = 18

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Document:
    """What a file says, as plain dicts, lists and scalars, with the line (from 1) of every key and list item."""

    data: Any
    lines: Mapping[Keys, int] = field(default_factory=dict)
    file: str | None = None

    def line(self, path: Keys) -> int | None:
        """The line of a value, or of the nearest value that holds it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def dotted(path: Keys) -> str:
    """`('training', 'epochs')` -> `training.epochs`."""
    return ".".join(str(key) for key in path)


def read(path: str | Path, *, integer_keys: tuple[str, ...] = ()) -> Document:
    """The document in a file. Raises InvalidFile, with file and line, for whatever is wrong with it."""
    path = Path(path)
    name = one_line(str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(BIGGEST_FILE + 1)
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise InvalidFile(f"no such file{nearest(path.name, siblings)}", file=name) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidFile(f"cannot be read: {one_line(str(reason)).lower()}", file=name) from None
    return parse(raw, file=name, integer_keys=integer_keys)


def parse(text: str | bytes, *, file: str | None = None, at: Keys = (), integer_keys: tuple[str, ...] = ()) -> Document:
    """The one document in `text`.

    at: the path that the document will have inside another one. integer_keys: names under which, at any depth, keys may
    be whole numbers. Bytes must be UTF-8. Raises InvalidFile.
    """
    if len(text) > BIGGEST_FILE:
        raise InvalidFile(f"is larger than {BIGGEST_FILE // 1_000_000} MB; a search space is a few kB", file=file)
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].count(b"\n")
            raise InvalidFile("is not UTF-8 text", file=file, line=before + 1) from None
    try:
        return _Builder(text, file, integer_keys).document(at)
    except yaml.MarkedYAMLError as error:
        mark = (error.context_mark if _is_unclosed(error) else None) or error.problem_mark or error.context_mark
        at_line = mark.line + 1 if mark is not None else None
        raise InvalidFile(_syntax_reason(error), file=file, line=at_line) from None
    except yaml.reader.ReaderError as error:
        reason = "holds a control character, which YAML does not allow"
        raise InvalidFile(reason, file=file, line=text[: error.position].count("\n") + 1) from None


def parse_value(text: str, *, at: Keys = (), integer_keys: tuple[str, ...] = ()) -> Any:
    """One value by the same rules, as it stands behind `--set path=`; `at` is that path. An empty text is null."""
    if not text.strip():
        return None
    return parse(text, at=at, integer_keys=integer_keys).data


def _is_unclosed(error: yaml.MarkedYAMLError) -> bool:
    """Whether the text ends inside a bracket or quote: then the line that opened it is the one to look at."""
    problem = error.problem or ""
    return error.context_mark is not None and ("stream end" in problem or "end of stream" in problem)


def _syntax_reason(error: yaml.MarkedYAMLError) -> str:
    problem = one_line(error.problem or error.context or "cannot be parsed")
    if _is_unclosed(error):
        return "is not YAML: a bracket or quote that is opened here is never closed"
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if "mapping values are not allowed" in problem:
        return "is not YAML: a ':' where no key can stand (check the indentation, or quote the text)"
    return f"is not YAML: {problem}"


class _Builder:
    """Turns the parser's events into plain data. It counts and measures as it goes, so a bomb is refused early."""

    def __init__(self, text: str, file: str | None, integer_keys: tuple[str, ...]):
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self.file, self.integer_keys = file, integer_keys
        self.lines: dict[Keys, int] = {}
        self.values = 0

    def refuse(self, reason: str, event: Any, path: Keys) -> InvalidFile:
        return InvalidFile(reason, file=self.file, line=event.start_mark.line + 1, field=one_line(dotted(path)) or None)

    def document(self, at: Keys) -> Document:
        next(self.events)  # start of the stream
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise InvalidFile("is empty", file=self.file)
        data = self.value(next(self.events), at)
        next(self.events)  # end of the document
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.refuse("holds a second document ('---'); one file is one document", after, ())
        return Document(data, self.lines, self.file)

    def value(self, event: Any, path: Keys) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise self.refuse(f"holds more than {MOST_VALUES} values", event, path)
        if len(path) > DEEPEST:
            raise self.refuse(f"is nested more than {DEEPEST} levels deep", event, path[:4])
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self.refuse("anchors and aliases (& and *) are not allowed; use {same_as: path}", event, path)
        if event.tag is not None and event.tag != "!":
            raise self.refuse(f"tags are not allowed ({one_line(event.tag, longest=40)})", event, path)
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path)

    def sequence(self, path: Keys) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: Keys) -> dict[str | int, Any]:
        found: dict[str | int, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path)
            if key in found:
                first = self.lines[(*path, key)]
                raise self.refuse(f"stands twice (first on line {first})", event, (*path, key))
            self.lines[(*path, key)] = event.start_mark.line + 1
            found[key] = self.value(next(self.events), (*path, key))
        return found

    def key(self, event: Any, path: Keys) -> str | int:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.refuse("a key should be text, not a list, mapping or alias", event, path)
        if event.anchor is not None or event.tag is not None:
            raise self.refuse("anchors and tags are not allowed", event, path)
        if event.value == "<<" and event.style is None:
            raise self.refuse("merge keys (<<) are not allowed; files are whole", event, path)
        key = self.scalar(event, path)
        if isinstance(key, str) and key:
            return key
        if type(key) is int and any(name in self.integer_keys for name in path):
            return key
        raise self.refuse(
            f"a key should be text, not {shown(key)}{' (quote it)' if key not in ('', None) else ''}", event, path
        )

    def scalar(self, event: Any, path: Keys) -> str | int | float | bool | None:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self.refuse("holds half a character (a lone surrogate)", event, path)
        if event.style is not None or event.tag == "!":
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        if _NOT_FINITE.fullmatch(text):
            raise self.refuse(f"should be a finite number, not {text}", event, path)
        if _INTEGER.fullmatch(text):
            if len(text.lstrip("+-0")) > LONGEST_INTEGER:
                raise self.refuse(f"has more than {LONGEST_INTEGER} digits", event, path)
            return int(text)
        if _NUMBER.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise self.refuse(f"{one_line(text, longest=40)} is too large for a number", event, path)
            return number
        return text
